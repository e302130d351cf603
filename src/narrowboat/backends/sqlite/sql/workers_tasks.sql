-- Who knows what.
SELECT worker, task FROM worker_task ORDER BY worker, task
