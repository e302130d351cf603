-- cancel_jobs(ids, reason, now): end waiting jobs, ask for the end of running ones. Returns the state of each job afterwards,
-- NULL for one that is not there, the workers that should be told, and the queues whose sleepers should be: where a batch
-- was finished so, its final job waits.
CREATE OR REPLACE FUNCTION narrowboat.cancel_jobs(
    p_ids text[], p_reason text, p_now double precision, OUT states text[], OUT workers text[],
    OUT rings text[]
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET lock_timeout = '4s' AS $$
DECLARE
    at double precision := narrowboat.clock(p_now);
    asked bigint[];
    holders integer[];
    emptied integer[] := '{}';
    some_lanes integer[];
    told text[];
    one_lane integer;
    batches text[];
    some_batches text[];
BEGIN
    SELECT coalesce(array_agg(ord), '{}') INTO asked FROM narrowboat.job WHERE id = ANY (p_ids);
    FOR turn IN 1..20 LOOP  -- for a job may move on while this waits for whoever moves it
        PERFORM FROM narrowboat.queued WHERE ord = ANY (asked) ORDER BY ord FOR UPDATE;
        PERFORM FROM narrowboat.scheduled WHERE ord = ANY (asked) ORDER BY ord FOR UPDATE;
        WITH from_queued AS (
            DELETE FROM narrowboat.queued WHERE ord = ANY (asked) RETURNING *
        ), from_scheduled AS (
            DELETE FROM narrowboat.scheduled WHERE ord = ANY (asked) RETURNING *
        ), gone AS (
            SELECT ord, queue, lane, started_at, revision, errors, crashes, snoozes, ran_by, progress, 1 AS was_queued
            FROM from_queued
            UNION ALL
            SELECT ord, queue, NULL, started_at, revision, errors, crashes, snoozes, ran_by, progress, 0 FROM from_scheduled
        ), done AS (
            INSERT INTO narrowboat.done (ord, finished_at, started_at, revision, errors, crashes, snoozes, state, queue,
                                         ran_by, progress, reason)
            SELECT ord, at, started_at, revision + 1, errors, crashes, snoozes, 'cancelled', queue, ran_by, progress, p_reason
            FROM gone
        ), counted AS (
            INSERT INTO narrowboat.tally (queue, queued, scheduled, cancelled)
            SELECT queue, -sum(was_queued), -sum(1 - was_queued), count(*) FROM gone GROUP BY queue
        )
        SELECT array_agg(DISTINCT gone.lane) FILTER (WHERE was_queued = 1),
               (SELECT array_agg(job.batch) FROM gone AS g JOIN narrowboat.job ON job.ord = g.ord WHERE job.batch IS NOT NULL)
        INTO some_lanes, some_batches FROM gone;
        emptied := emptied || some_lanes;
        batches := batches || some_batches;
        SELECT array_agg(n) INTO holders FROM (
            SELECT n FROM narrowboat.worker
            WHERE n IN (SELECT r.worker FROM narrowboat.running AS r WHERE r.ord = ANY (asked) AND r.cancel IS NULL)
            ORDER BY n FOR NO KEY UPDATE) AS locked;
        WITH marked AS (
            UPDATE narrowboat.running SET cancel = p_reason, revision = revision + 1
            WHERE ord = ANY (asked) AND worker = ANY (holders) AND cancel IS NULL RETURNING worker
        ), counted AS (
            UPDATE narrowboat.worker SET cancels = cancels + m.n
            FROM (SELECT worker, count(*) AS n FROM marked GROUP BY worker) AS m WHERE worker.n = m.worker
            RETURNING id
        )
        SELECT array_agg(id) INTO told FROM counted;
        workers := workers || told;
        EXIT WHEN NOT EXISTS (SELECT FROM narrowboat.queued WHERE ord = ANY (asked))
              AND NOT EXISTS (SELECT FROM narrowboat.scheduled WHERE ord = ANY (asked))
              AND NOT EXISTS (SELECT FROM narrowboat.running WHERE ord = ANY (asked) AND cancel IS NULL);
    END LOOP;
    SELECT array_agg(summary.state ORDER BY named.n) INTO states
    FROM unnest(p_ids) WITH ORDINALITY AS named (id, n) LEFT JOIN narrowboat.summary ON summary.id = named.id;
    FOR one_lane IN SELECT DISTINCT unnest(emptied) LOOP
        PERFORM narrowboat.look_at_head(one_lane);
    END LOOP;
    IF batches IS NOT NULL THEN
        rings := narrowboat.count_batches(
            batches, array_fill('cancelled'::text, ARRAY[cardinality(batches)]), array_fill(1, ARRAY[cardinality(batches)]), at);
    END IF;
END $$;
