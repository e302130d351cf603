-- As find.sql, of the jobs of a batch.
SELECT * FROM summary
WHERE ord IN (SELECT job.ord FROM job WHERE job.batch = :batch AND job.ord < :after)
  AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
  AND (:task IS NULL OR task = :task)
  AND (:queue IS NULL OR queue = :queue)
  AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(summary.tags) WHERE value = :tag))
ORDER BY ord DESC LIMIT :limit
