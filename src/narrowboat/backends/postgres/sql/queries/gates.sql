-- The gates that are shut, pauses first.
SELECT scope, kind, reason, until, since FROM (
    SELECT scope, kind, reason, until, since, 0 AS nth FROM narrowboat.gate
    WHERE until IS NULL OR until > narrowboat.clock(%(now)s)
    UNION ALL
    SELECT scope, 'breaker', reason, CASE WHEN until < 1e18 THEN until END, since, 1 FROM narrowboat.meter WHERE until <> 0
) AS shut ORDER BY nth, scope
