-- Tasks with queued jobs that no worker whose lease holds knows: (queue, task).
SELECT DISTINCT queue, task FROM lane
WHERE priority IS NOT NULL AND task NOT IN (
    SELECT task FROM worker_task JOIN worker ON worker.id = worker_task.worker WHERE lease_until >= :now)
ORDER BY queue, task
