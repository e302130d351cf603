-- Whether a worker holds any job.
SELECT EXISTS (SELECT 1 FROM job WHERE worker = :worker AND state = 'running')
