-- Queue a job again, with fresh attempts.
UPDATE job SET state = :state, queue = :queue, lane = :lane, priority = :priority, queued_at = :queued_at,
               due_at = :due_at, errors = 0, crashes = 0, snoozes = 0, started_at = NULL, finished_at = NULL,
               progress = NULL, cancel = NULL, reason = '', revision = revision + 1
WHERE ord = :ord
