-- promote(most, at): queue scheduled jobs that are due, at most so many, first due first. Returns how many, and the
-- queues whose sleepers should be told.
CREATE OR REPLACE FUNCTION narrowboat.promote(p_most integer, p_at double precision, OUT n integer, OUT rings text[])
LANGUAGE plpgsql AS $$
DECLARE
    lanes integer[];
    ranks smallint[];
BEGIN
    IF NOT EXISTS (SELECT FROM narrowboat.scheduled WHERE due_at <= p_at) THEN
        n := 0;
        RETURN;
    END IF;
    WITH due AS MATERIALIZED (
        SELECT ord FROM narrowboat.scheduled WHERE due_at <= p_at ORDER BY due_at, ord LIMIT p_most
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM narrowboat.scheduled AS s USING due WHERE s.ord = due.ord RETURNING s.*
    ), moved AS MATERIALIZED (
        SELECT gone.*, job.lane, -job.priority AS rank FROM gone JOIN narrowboat.job ON job.ord = gone.ord
    ), ready AS (
        INSERT INTO narrowboat.queued (ord, queued_at, started_at, lane, revision, errors, crashes, snoozes, rank, queue,
                                       client, ran_by, progress)
        SELECT ord, p_at, started_at, lane, revision + 1, errors, crashes, snoozes, rank, queue, client, ran_by, progress
        FROM moved
    ), counted AS (
        INSERT INTO narrowboat.tally (queue, scheduled, queued) SELECT queue, -count(*), count(*) FROM moved GROUP BY queue
    )
    SELECT count(*), array_agg(lane ORDER BY due_at, ord), array_agg(rank ORDER BY due_at, ord) INTO n, lanes, ranks
    FROM moved;
    IF n > 0 THEN
        rings := narrowboat.line_up(lanes, ranks);
    END IF;
END $$;
