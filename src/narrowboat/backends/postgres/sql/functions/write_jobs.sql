-- write_jobs(queues, tasks, lane_keys, jobs, is_keyed, at, of): write the jobs that are not there yet, in order.
-- queues, tasks, lane_keys: the lanes, which jobs name by their number from 1. jobs: a JSON array of objects, see
-- messages.py. is_keyed: whether any job has a key. of: only jobs whose `of` is among these tokens; NULL for all.
-- Returns the places (from 1) of jobs that were not written, the ids of those that are there instead, and the queues
-- whose sleepers should be told.
CREATE OR REPLACE FUNCTION narrowboat.write_jobs(
    p_queues text[], p_tasks text[], p_lane_keys text[], p_jobs json, p_is_keyed boolean, p_at double precision,
    p_of bigint[], OUT passed integer[], OUT there text[], OUT rings text[]
)
LANGUAGE plpgsql SET enable_hashjoin = on AS $$
DECLARE
    lanes integer[] := narrowboat.lane_ids(p_queues, p_tasks, p_lane_keys);
    joined integer[];
    ranks smallint[];
    soon text[];
    known_places integer[];
    known_ids text[];
    batched text[];
BEGIN
    IF p_is_keyed THEN
        SELECT held.passed, held.there INTO passed, there FROM narrowboat.keys_held(p_tasks, p_jobs, p_at, p_of) AS held;
    END IF;
    WITH input AS MATERIALIZED (
        SELECT j.*, nextval('narrowboat.ord') AS ord, coalesce(j.due, p_at + coalesce(j.delay, 0)) AS due_at
        FROM (
            SELECT r.*
            FROM ROWS FROM (json_to_recordset(p_jobs) AS (
                lane integer, id text, args text, priority smallint, delay double precision, due double precision,
                key text, client text, headers text, tags text, summary text, shape text, version integer, of bigint, batch text
            )) WITH ORDINALITY AS r (
                lane, id, args, priority, delay, due, key, client, headers, tags, summary, shape, version, of, batch, n
            )
            WHERE (p_of IS NULL OR r.of = ANY (p_of)) AND (passed IS NULL OR r.n <> ALL (passed))
            ORDER BY r.n
        ) AS j
    ), written AS (
        INSERT INTO narrowboat.job (ord, enqueued_at, lane, version, priority, id, task, queue, client, key, shape,
                                    summary, tags, headers, args, batch)
        SELECT ord, p_at, lanes[lane], coalesce(version, 1), coalesce(priority, 0), id, p_tasks[lane], p_queues[lane],
               coalesce(client, ''), key, coalesce(shape, ''), coalesce(summary, ''), coalesce(tags, '[]'),
               coalesce(headers, '{}'), coalesce(args, '{}'), batch
        FROM input ORDER BY ord
        ON CONFLICT (id) DO NOTHING
        RETURNING ord, id, task, key, batch
    ), ready AS (
        INSERT INTO narrowboat.queued (ord, queued_at, lane, revision, errors, crashes, snoozes, rank, queue, client, ran_by)
        SELECT ord, p_at, lanes[lane], 1, 0, 0, 0, -coalesce(priority, 0), p_queues[lane], coalesce(client, ''), ''
        FROM input JOIN written USING (ord) WHERE due_at <= p_at ORDER BY ord
        RETURNING ord, lane, rank, queue
    ), later AS (
        INSERT INTO narrowboat.scheduled (ord, due_at, revision, errors, crashes, snoozes, queue, client, ran_by)
        SELECT ord, due_at, 1, 0, 0, 0, p_queues[lane], coalesce(client, ''), ''
        FROM input JOIN written USING (ord) WHERE due_at > p_at
        RETURNING queue, due_at
    ), counted AS (
        INSERT INTO narrowboat.tally (queue, queued, scheduled)
        SELECT queue, sum(is_ready), sum(1 - is_ready)
        FROM (SELECT queue, 1 AS is_ready FROM ready UNION ALL SELECT queue, 0 FROM later) AS both_kinds GROUP BY queue
    ), held AS (
        UPDATE narrowboat.key SET ord = written.ord FROM written
        WHERE p_is_keyed AND key.task = written.task AND key.key = written.key
    )
    SELECT (SELECT array_agg(lane ORDER BY first) FROM (SELECT lane, min(ord) AS first FROM ready GROUP BY lane) AS a),
           (SELECT array_agg(rank ORDER BY first)
            FROM (SELECT min(rank) AS rank, min(ord) AS first FROM ready GROUP BY lane) AS b),
           (SELECT array_agg(DISTINCT queue) FROM later WHERE due_at < p_at + 15),
           (SELECT array_agg(batch) FROM written WHERE batch IS NOT NULL), known.places, known.ids
    INTO joined, ranks, soon, batched, known_places, known_ids
    FROM (SELECT array_agg(n::integer) AS places, array_agg(id) AS ids FROM input
          WHERE NOT EXISTS (SELECT FROM written WHERE written.ord = input.ord)) AS known;
    passed := passed || known_places;
    there := there || known_ids;
    IF p_is_keyed THEN
        DELETE FROM narrowboat.key USING json_to_recordset(p_jobs) AS j (lane integer, key text)
        WHERE key.task = p_tasks[j.lane] AND key.key = j.key AND key.ord = 0;
    END IF;
    rings := soon;
    IF joined IS NOT NULL THEN
        rings := rings || narrowboat.line_up(joined, ranks);
    END IF;
    IF batched IS NOT NULL THEN
        rings := rings || narrowboat.count_batches(
            batched, array_fill('total'::text, ARRAY[cardinality(batched)]), array_fill(1, ARRAY[cardinality(batched)]), p_at);
    END IF;
END $$;
