-- Back to its place, uncharged.
UPDATE job SET state = 'queued', queued_at = ?, started_at = NULL, progress = NULL, cancel = NULL, passed = NULL, revision = revision + 1
WHERE ord = ?
