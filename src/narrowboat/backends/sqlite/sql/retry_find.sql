-- A job to retry: (ord, state, task, queue, lane_key, priority, key).
SELECT ord, state, job.task, job.queue, lane_key, job.priority, key FROM job JOIN lane ON lane.id = job.lane
WHERE job.id = :id
