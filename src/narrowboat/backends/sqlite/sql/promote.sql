-- A scheduled job is due.
UPDATE job SET state = 'queued', queued_at = ?, due_at = NULL, revision = revision + 1 WHERE ord = ?
