-- Forget gates that have nothing to remember, and nobody waiting.
DELETE FROM meter WHERE scope IN (SELECT scope FROM meter WHERE idle_at <= :now AND opens_at IS NULL LIMIT :n)
