-- When the oldest queued job of each queue joined its line: (queue, time).
SELECT job.queue, min(job.queued_at)
FROM (SELECT min(ord) AS ord FROM job WHERE state = 'queued' GROUP BY lane, priority) AS oldest
JOIN job ON job.ord = oldest.ord GROUP BY job.queue
