-- Ask for the cancel of a running job. Returns a row if it had not been asked for.
UPDATE job SET cancel = :reason, revision = revision + 1 WHERE ord = :ord AND cancel IS NULL RETURNING ord
