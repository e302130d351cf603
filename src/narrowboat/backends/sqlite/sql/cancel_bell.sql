-- Count a cancel for a worker.
UPDATE worker SET cancels = cancels + 1 WHERE id = :worker
