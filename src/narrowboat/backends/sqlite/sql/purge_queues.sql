-- Queues that may have finished jobs.
SELECT DISTINCT queue FROM lane
