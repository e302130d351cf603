-- The end of a claim.
UPDATE job SET state = ?, errors = ?, crashes = ?, snoozes = ?, queued_at = ?, due_at = ?, started_at = ?,
               finished_at = ?, reason = ?,
               progress = CASE WHEN ? THEN NULL ELSE progress END, cancel = NULL, passed = NULL, revision = revision + 1
WHERE ord = ?
