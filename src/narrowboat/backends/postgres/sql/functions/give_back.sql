-- give_back(ords, at): these running jobs go back to their places, uncharged; those whose cancel was asked for end. The
-- caller has locked their worker. Returns the queues whose sleepers should be told.
CREATE OR REPLACE FUNCTION narrowboat.give_back(p_ords bigint[], p_at double precision) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    lanes integer[];
    ranks smallint[];
    gone_ids text[];
    scopes text[];
    rings text[];
    batches text[];
BEGIN
    IF p_ords IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(DISTINCT id), array_agg(scope) INTO gone_ids, scopes
    FROM narrowboat.running CROSS JOIN LATERAL unnest(passed) AS scope WHERE ord = ANY (p_ords);
    IF scopes IS NOT NULL THEN
        PERFORM narrowboat.lock_meters(scopes);
        rings := narrowboat.let_go(scopes, gone_ids);
    END IF;
    WITH gone AS (
        DELETE FROM narrowboat.running WHERE ord = ANY (p_ords) RETURNING *
    ), moved AS MATERIALIZED (
        SELECT gone.*, job.lane, -job.priority AS rank, job.client FROM gone JOIN narrowboat.job ON job.ord = gone.ord
    ), ready AS (
        INSERT INTO narrowboat.queued (ord, queued_at, lane, revision, errors, crashes, snoozes, rank, queue, client, ran_by)
        SELECT ord, p_at, lane, revision + 1, errors, crashes, snoozes, rank, queue, client, ran_by
        FROM moved WHERE cancel IS NULL
    ), done AS (
        INSERT INTO narrowboat.done (ord, finished_at, revision, errors, crashes, snoozes, state, queue, ran_by, reason)
        SELECT ord, p_at, revision + 1, errors, crashes, snoozes, 'cancelled', queue, ran_by, cancel
        FROM moved WHERE cancel IS NOT NULL
    ), counted AS (
        INSERT INTO narrowboat.tally (queue, running, queued, cancelled)
        SELECT queue, -count(*), count(*) FILTER (WHERE cancel IS NULL), count(cancel) FROM moved GROUP BY queue
    )
    SELECT array_agg(lane ORDER BY ord) FILTER (WHERE cancel IS NULL), array_agg(rank ORDER BY ord) FILTER (WHERE cancel IS NULL),
           array_agg(batch) FILTER (WHERE cancel IS NOT NULL AND batch IS NOT NULL)
    INTO lanes, ranks, batches FROM moved;
    IF lanes IS NOT NULL THEN
        rings := rings || narrowboat.line_up(lanes, ranks);
    END IF;
    IF batches IS NOT NULL THEN
        rings := rings || narrowboat.count_batches(
            batches, array_fill('cancelled'::text, ARRAY[cardinality(batches)]), array_fill(1, ARRAY[cardinality(batches)]), p_at);
    END IF;
    RETURN rings;
END $$;
