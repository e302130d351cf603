-- The claims of one step of a worker, with what it takes to run them.
SELECT job.ord, id, task, queue, token, args, priority, errors, crashes, snoozes, enqueued_at, headers, tags, version
FROM job JOIN payload ON payload.ord = job.ord
WHERE worker = :worker AND step = :step AND state = 'running' AND ran_by = :worker  -- not a rescued one
