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
    SELECT array_agg(lane ORDER BY ord), array_agg(rank ORDER BY ord) INTO lanes, ranks FROM moved WHERE cancel IS NULL;
    RETURN rings || CASE WHEN lanes IS NOT NULL THEN narrowboat.line_up(lanes, ranks) END;
END $$;
