-- A job ends that waits, or that is given back after its cancel was asked for.
UPDATE job SET state = 'cancelled', reason = :reason, finished_at = :now, due_at = NULL, cancel = NULL, passed = NULL,
               started_at = CASE WHEN state = 'running' THEN NULL ELSE started_at END,
               progress = CASE WHEN state = 'running' THEN NULL ELSE progress END, revision = revision + 1
WHERE ord = :ord
