-- A worker knows a task.
INSERT INTO worker_task (worker, task) VALUES (?, ?) ON CONFLICT DO NOTHING
