-- let_go(scopes, ids): these jobs, which went through these gates, run no more; a scope stands there once for each job. The
-- gates are locked. Returns the queues of those who stand first in their lines.
CREATE OR REPLACE FUNCTION narrowboat.let_go(p_scopes text[], p_ids text[]) RETURNS text[]
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE narrowboat.meter AS m
    SET running = m.running - CASE WHEN m.scope LIKE 'limit:%' THEN gone.n ELSE 0 END,
        probe = CASE WHEN m.probe = ANY (p_ids) THEN '' ELSE m.probe END,  -- nobody has said how it ended
        opens_at = CASE WHEN EXISTS (SELECT FROM narrowboat.lane WHERE lane.held = m.scope) THEN 0 END
    FROM (SELECT scope, count(*) AS n FROM unnest(p_scopes) AS scope GROUP BY scope) AS gone WHERE m.scope = gone.scope;
    RETURN (SELECT array_agg(DISTINCT first.queue)
            FROM (SELECT DISTINCT scope FROM unnest(p_scopes) AS scope) AS gone CROSS JOIN LATERAL (
                SELECT queue FROM narrowboat.lane WHERE held = gone.scope AND rank IS NOT NULL ORDER BY held, rank, turn LIMIT 10
            ) AS first);
END $$;
