-- rescue(worker, dead, limit): take over claims of workers that are lost; see Backend.rescue. A worker that is just at work
-- is passed over. Raises NB001 for a worker that is not known.
CREATE OR REPLACE FUNCTION narrowboat.rescue(p_worker text, p_dead text[], p_limit integer)
RETURNS TABLE (
    id text, task text, queue text, token bigint, args text, priority smallint, errors integer, crashes integer,
    snoozes integer, enqueued_at double precision, headers text, tags text, version integer, shape text,
    started boolean, lost_worker text
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan SET lock_timeout = '4s' AS $$
#variable_conflict use_column
DECLARE
    me record;
    other record;
    taken integer;
    room integer := p_limit;
BEGIN
    SELECT w.n, w.seq INTO me FROM narrowboat.worker AS w WHERE w.id = p_worker FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'worker % is not known', p_worker USING ERRCODE = 'NB001';
    END IF;
    FOR other IN
        SELECT w.id, w.n FROM narrowboat.worker AS w
        WHERE w.id <> p_worker AND w.id = ANY (p_dead) ORDER BY w.id FOR UPDATE SKIP LOCKED
    LOOP
        -- No step made these claims; the rescuer has surely heard of them when it has heard the reply to its next one.
        RETURN QUERY
        WITH numbered AS MATERIALIZED (
            SELECT ord, nextval('narrowboat.token') AS token FROM (
                SELECT ord FROM narrowboat.running WHERE worker = other.n ORDER BY step, ord LIMIT room) AS held
        ), taken_over AS (
            UPDATE narrowboat.running AS r
            SET worker = me.n, token = numbered.token, step = me.seq + 1, revision = r.revision + 1
            FROM numbered WHERE r.ord = numbered.ord
            RETURNING r.*
        )
        SELECT r.id, job.task, job.queue, r.token, job.args, job.priority, r.errors, r.crashes, r.snoozes,
               job.enqueued_at, job.headers, job.tags, job.version, job.shape, r.started_at IS NOT NULL, other.id
        FROM taken_over AS r JOIN narrowboat.job ON job.ord = r.ord ORDER BY r.token;
        GET DIAGNOSTICS taken = ROW_COUNT;
        room := room - taken;
        IF NOT EXISTS (SELECT FROM narrowboat.running WHERE worker = other.n) THEN
            DELETE FROM narrowboat.worker AS w WHERE w.id = other.id;
        END IF;
    END LOOP;
END $$;
