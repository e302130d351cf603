-- places(ids, most): how many stand before each queued job of ids in its lane, up to `most`. The planner would rather sort
-- all that waits in a lane than read the beginning of an index.
CREATE OR REPLACE FUNCTION narrowboat.places(p_ids text[], p_most integer) RETURNS TABLE (id text, place integer)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH mine AS MATERIALIZED (
        SELECT job.id, queued.ord, queued.lane
        FROM narrowboat.job JOIN narrowboat.queued ON queued.ord = job.ord WHERE job.id = ANY (p_ids)
    ), front AS (
        SELECT first.ord, first.place
        FROM (SELECT DISTINCT lane FROM mine) AS lanes
        CROSS JOIN LATERAL (
            SELECT ord, row_number() OVER (ORDER BY rank, ord) - 1 AS place
            FROM (SELECT ord, rank FROM narrowboat.queued WHERE lane = lanes.lane ORDER BY lane, rank, ord LIMIT p_most) AS best
        ) AS first
    )
    SELECT mine.id, coalesce(front.place, p_most)::integer FROM mine LEFT JOIN front ON front.ord = mine.ord;
END $$;
