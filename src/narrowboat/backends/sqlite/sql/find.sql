-- Jobs, newest first, before :after and not before :floor; each filter may be NULL.
SELECT * FROM summary
WHERE ord < :after AND ord >= :floor
  AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
  AND (:task IS NULL OR task = :task)
  AND (:queue IS NULL OR queue = :queue)
  AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(summary.tags) WHERE value = :tag))
ORDER BY ord DESC LIMIT :limit
