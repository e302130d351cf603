-- Forget what a worker published.
DELETE FROM worker_task WHERE worker = :worker
