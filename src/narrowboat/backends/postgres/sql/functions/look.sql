-- look(worker, wants, now): for a sleeper. wants: a JSON array of {"queue", "tasks", "n"}. Returns whether a job could be
-- claimed, how many cancels were asked of it, in how many seconds time alone will bring work, whether it holds jobs, and
-- how many workers there are. Raises NB001 for a worker that is not known.
CREATE OR REPLACE FUNCTION narrowboat.look(
    p_worker text, p_wants json, p_now double precision,
    OUT has_work boolean, OUT cancels bigint, OUT next_in double precision, OUT holds boolean, OUT workers bigint
)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    at double precision := narrowboat.clock(p_now);
    me integer;
    want record;
BEGIN
    SELECT w.n, w.cancels INTO me, cancels FROM narrowboat.worker AS w WHERE w.id = p_worker;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'worker % is not known', p_worker USING ERRCODE = 'NB001';
    END IF;
    holds := EXISTS (SELECT FROM narrowboat.running WHERE worker = me);
    workers := (SELECT count(*) FROM narrowboat.worker WHERE lease_until >= at);
    has_work := false;
    FOR want IN SELECT * FROM json_to_recordset(p_wants) AS w (queue text, tasks text[], n integer) LOOP
        next_in := least(next_in, (SELECT min(due_at) FROM narrowboat.scheduled WHERE queue = want.queue) - at,
                         (SELECT min(until) FROM narrowboat.gate WHERE until > at) - at,
                         (SELECT min(opens_at) FROM narrowboat.meter WHERE opens_at IS NOT NULL) - at);
        has_work := has_work OR (want.n > 0 AND narrowboat.ready(want.queue, want.tasks, at));
    END LOOP;
    has_work := has_work OR coalesce(next_in <= 0, false);
END $$;
