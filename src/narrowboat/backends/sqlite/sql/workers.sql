-- All workers with the number of jobs that each holds.
SELECT id, info, seen_at, lease_until, (SELECT count(*) FROM job WHERE job.worker = worker.id AND state = 'running')
FROM worker ORDER BY id
