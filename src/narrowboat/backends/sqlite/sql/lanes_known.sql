-- Which lanes have a task that some worker has published.
UPDATE lane SET known = EXISTS (SELECT 1 FROM worker_task WHERE worker_task.task = lane.task)
WHERE known <> EXISTS (SELECT 1 FROM worker_task WHERE worker_task.task = lane.task)
