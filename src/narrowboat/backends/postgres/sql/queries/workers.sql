-- All workers with the number of jobs that each holds: (info, tasks, seen_at, lease_until, running).
SELECT info, tasks, seen_at, lease_until,
       (SELECT count(*) FROM narrowboat.running WHERE running.worker = worker.n)
FROM narrowboat.worker ORDER BY id
