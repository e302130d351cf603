-- The open lanes of :queue of tasks in :tasks (JSON), at most :most, in the order of their turns: (id, priority,
-- task, lane_key).
SELECT id, priority, task, lane_key FROM lane
WHERE queue = :queue AND priority IS NOT NULL AND shut = 0 AND known = 1 AND held IS NULL
  AND task IN (SELECT value FROM json_each(:tasks))
ORDER BY priority DESC, turn LIMIT :most
