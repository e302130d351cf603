-- The gate of a scope, if it is shut at :now: what gates.sql gives.
SELECT scope, kind, reason, until, since FROM gate WHERE scope = :scope AND (until IS NULL OR until > :now)
