-- How many jobs find_apart.sql would look through: those in the states and the queue that are wanted, but for queued ones.
SELECT coalesce(sum(n), 0) FROM count
WHERE state <> 'queued' AND (:queue IS NULL OR queue = :queue)
  AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
