-- A new lane; shut if a gate is, known if a worker has published its task. Returns what lane_find does.
INSERT INTO lane (id, queue, task, lane_key, shut, known) VALUES (
    CASE WHEN :lane_key <> '' THEN (SELECT min(coalesce(min(id), 0), 0) - 1 FROM lane) END,
    :queue, :task, :lane_key,
    EXISTS (SELECT 1 FROM gate WHERE scope IN ('queue:' || :queue, 'task:' || :task)),
    EXISTS (SELECT 1 FROM worker_task WHERE task = :task)
) RETURNING id, priority
