-- The gates that are shut at :now.
SELECT scope, kind, reason, until, since FROM gate WHERE until IS NULL OR until > :now ORDER BY scope
