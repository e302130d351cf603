-- step(worker, seq, parts, started, progress, wants, most, room, now): one round trip of a worker; see Backend.step.
-- parts: a JSON array of {"settled": [...], "carried": {"queues", "tasks", "lane_keys", "jobs", "is_keyed"} or none, "slows"}, in
-- order; carried jobs are written if the settlement was made whose token is their `of`. slows: a service asked to slow down. started, progress: of claims,
-- JSON arrays of {"id", "token", "progress"}. wants: a JSON array of {"queue", "tasks", "n", "room"}.
-- Returns a row for each claim, in the order of their tokens, and a last one, without an id, for the rest of the answer;
-- rings: the queues whose sleepers should be told. Raises NB001 for a worker that is not known.
CREATE OR REPLACE FUNCTION narrowboat.step(
    p_worker text, p_seq bigint, p_parts json, p_started json, p_progress json, p_wants json, p_most integer,
    p_room double precision, p_now double precision
) RETURNS TABLE (
    id text, task text, queue text, token bigint, args text, priority smallint, errors integer, crashes integer,
    snoozes integer, enqueued_at double precision, headers text, tags text, version integer, shape text,
    refused text[], cancelled text[], more boolean, rings text[]
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = on
SET jit = off SET plan_cache_mode = force_generic_plan SET lock_timeout = '4s' AS $$
#variable_conflict use_column
DECLARE
    at double precision := narrowboat.clock(p_now);
    me record;
    part record;
    spared bigint[];
    let_go text[];
    gone text[];
    has_news boolean := false;
    want record;
    ended record;
    carried record;
    promoted record;
    turned_away text[] := '{}';
    told text[] := '{}';
    batches text[];
    states text[];
    tasks text[];
    has_more boolean := false;
    n integer;
    claimed integer := 0;
    room double precision := coalesce(p_room, 0);
BEGIN
    SELECT w.n, w.seq, w.refused, w.more,
           EXISTS (SELECT FROM narrowboat.control) OR EXISTS (SELECT FROM narrowboat.meter) AS has_gates
    INTO me FROM narrowboat.worker AS w WHERE w.id = p_worker FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'worker % is not known', p_worker USING ERRCODE = 'NB001';
    ELSIF p_seq < me.seq THEN  -- a late copy: its sender has had the answer and moved on
        RETURN QUERY SELECT NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::text, NULL::smallint, NULL::integer,
            NULL::integer, NULL::integer, NULL::double precision, NULL::text, NULL::text, NULL::integer, NULL::text,
            NULL::text[], NULL::text[], false, NULL::text[];
        RETURN;
    ELSIF p_seq = me.seq THEN  -- its answer was lost
        turned_away := me.refused;
        has_more := me.more;
    ELSE
        IF me.has_gates THEN
            SELECT g.scopes, g.ids, g.has_news INTO let_go, gone, has_news
            FROM narrowboat.meet_gates(me.n, p_parts, p_wants) AS g;
        END IF;
        IF p_progress IS NOT NULL THEN
            PERFORM narrowboat.note(me.n, NULL, p_progress, at);
        END IF;
        FOR part IN SELECT * FROM json_to_recordset(p_parts) AS p (settled json, carried json, slows boolean) LOOP
            IF part.slows THEN
                PERFORM narrowboat.slow_tasks(me.n, part.settled, at);
            END IF;
            IF has_news THEN
                SELECT h.settled, h.spared INTO part.settled, spared
                FROM narrowboat.heed_outcomes(me.n, part.settled, at) AS h;
            END IF;
            SELECT * INTO ended FROM narrowboat.settle(me.n, part.settled, at);
            IF spared IS NOT NULL THEN  -- nobody is told of an end that is none
                ended.ended := ARRAY(SELECT token FROM unnest(ended.ended) AS token WHERE token <> ALL (spared));
            END IF;
            turned_away := turned_away || ended.refused;
            batches := batches || ended.batches;
            states := states || ended.states;
            IF ended.lanes IS NOT NULL THEN
                told := told || narrowboat.line_up(ended.lanes, ended.ranks);
            END IF;
            IF part.carried IS NOT NULL AND ended.ended IS NOT NULL THEN
                SELECT w.rings INTO carried
                FROM json_to_record(part.carried)
                     AS c (queues text[], tasks text[], lane_keys text[], jobs json, is_keyed boolean)
                CROSS JOIN LATERAL narrowboat.write_jobs(
                    c.queues, c.tasks, c.lane_keys, c.jobs, c.is_keyed, at, ended.ended) AS w;
                told := told || carried.rings;
            END IF;
        END LOOP;
        IF let_go IS NOT NULL THEN
            told := told || narrowboat.let_go(let_go, gone);
        END IF;
        IF batches IS NOT NULL THEN
            told := told || narrowboat.count_batches(batches, states, array_fill(1, ARRAY[cardinality(batches)]), at);
        END IF;
        IF p_started IS NOT NULL THEN
            PERFORM narrowboat.note(me.n, p_started, NULL, at);
        END IF;
        IF p_wants IS NOT NULL THEN
            SELECT * INTO promoted FROM narrowboat.promote(200, at);
            told := told || promoted.rings;
            has_more := promoted.n = 200;
            PERFORM narrowboat.fold((SELECT array_agg(w.queue)
                                     FROM json_to_recordset(p_wants) AS w (queue text)));
            IF me.has_gates THEN
                PERFORM narrowboat.look_after(at);
            END IF;
            FOR want IN SELECT * FROM json_to_recordset(p_wants)
                        AS w (queue text, tasks text[], n integer, room double precision) LOOP
                n := least(want.n, p_most - claimed);
                IF p_room IS NOT NULL AND want.room > 0 THEN
                    n := least(n, floor(room / want.room + 1e-9)::integer);
                END IF;
                tasks := narrowboat.open_tasks(want.queue, want.tasks, at);
                IF n > 0 AND tasks IS NOT NULL THEN
                    n := narrowboat.claim(me.n, p_worker, p_seq, want.queue, tasks, n, me.has_gates, at);
                    claimed := claimed + n;
                    room := room - n * want.room;
                END IF;
            END LOOP;
            FOR want IN SELECT * FROM json_to_recordset(p_wants) AS w (queue text, tasks text[], n integer) LOOP
                EXIT WHEN has_more;
                has_more := want.n > 0 AND CASE WHEN me.has_gates THEN narrowboat.more(want.queue, want.tasks, at)
                                                ELSE narrowboat.ready(want.queue, want.tasks, at) END;
            END LOOP;
        END IF;
        UPDATE narrowboat.worker AS w SET seq = p_seq, refused = turned_away, more = has_more, seen_at = at
        WHERE w.id = p_worker;
        IF p_parts IS NULL AND claimed = 0 AND told = '{}' THEN  -- nothing that a crash of the server must not undo
            PERFORM set_config('synchronous_commit', 'off', true);
        END IF;
        IF random() < 0.01 THEN
            PERFORM narrowboat.fold_tally();
        END IF;
    END IF;
    IF p_seq = me.seq OR claimed > 0 THEN
        RETURN QUERY
        SELECT r.id, job.task, job.queue, r.token, job.args, job.priority, r.errors, r.crashes, r.snoozes, job.enqueued_at,
               job.headers, job.tags, job.version, job.shape, NULL::text[], NULL::text[], NULL::boolean, NULL::text[]
        FROM narrowboat.running AS r JOIN narrowboat.job ON job.ord = r.ord
        WHERE r.worker = me.n AND r.step = p_seq AND r.ran_by = p_worker
        ORDER BY r.token;
    END IF;
    RETURN QUERY SELECT NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::text, NULL::smallint, NULL::integer,
        NULL::integer, NULL::integer, NULL::double precision, NULL::text, NULL::text, NULL::integer, NULL::text,
        turned_away, narrowboat.cancelling(me.n), has_more, told;
END $$;
