-- An attempt has begun.
UPDATE job SET started_at = ?, revision = revision + 1 WHERE ord = ? AND started_at IS NULL
