-- The controls of a task.
INSERT INTO control (task, controls) VALUES (:task, :controls) ON CONFLICT (task) DO UPDATE SET controls = excluded.controls
