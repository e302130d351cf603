-- A job to retry: (ord, state, task, queue, lane, lane_key, priority, key, batch).
SELECT ord, state, job.task, job.queue, job.lane, lane_key, job.priority, key, batch
FROM job JOIN lane ON lane.id = job.lane
WHERE job.id = :id
