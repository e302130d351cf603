-- The two open lanes of :queue whose turn it is, of tasks in :tasks (JSON): (id, priority).
SELECT id, priority FROM lane
WHERE queue = :queue AND priority IS NOT NULL AND shut = 0 AND known = 1
  AND task IN (SELECT value FROM json_each(:tasks))
ORDER BY priority DESC, turn LIMIT 2
