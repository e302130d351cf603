-- line_up(lanes, ranks): jobs of these ranks have joined these lanes, in this order; returns the queues of those lanes
-- that were empty, or had no job of so good a rank.
CREATE OR REPLACE FUNCTION narrowboat.line_up(p_lanes integer[], p_ranks smallint[]) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    opened text[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(narrowboat.lane_lock(), bucket)
    FROM (SELECT DISTINCT lane & 63 AS bucket FROM unnest(p_lanes) AS lane ORDER BY 1) AS buckets;
    -- What is read now is not older than the lock, but for callers who see all as it was when they began.
    WITH added AS (
        INSERT INTO narrowboat.opening (lane, rank, queue)
        SELECT lane.id, min(joined.rank), lane.queue
        FROM unnest(p_lanes, p_ranks) WITH ORDINALITY AS joined (lane, rank, n)
        JOIN narrowboat.lane ON lane.id = joined.lane
        WHERE current_setting('transaction_isolation') <> 'read committed'
           OR ((lane.rank IS NULL OR lane.rank > joined.rank)
               AND NOT EXISTS (SELECT FROM narrowboat.opening AS known
                               WHERE known.lane = joined.lane AND known.rank <= joined.rank))
        GROUP BY lane.id, lane.queue ORDER BY min(joined.n)
        RETURNING queue
    )
    SELECT array_agg(DISTINCT queue) INTO opened FROM added;
    RETURN opened;
END $$;
