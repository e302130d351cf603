-- A waiting job ends.
UPDATE job SET state = 'cancelled', reason = :reason, finished_at = :now, due_at = NULL, revision = revision + 1 WHERE ord = :ord
