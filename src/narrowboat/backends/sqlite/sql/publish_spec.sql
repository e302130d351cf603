-- The newest options of a task.
INSERT INTO published (task, spec, at) VALUES (?, ?, ?) ON CONFLICT (task) DO UPDATE SET spec = excluded.spec, at = excluded.at
