-- The gates that are shut.
SELECT scope, kind, reason, until, since FROM narrowboat.gate
WHERE until IS NULL OR until > narrowboat.clock(%(now)s) ORDER BY scope
