-- When the oldest queued job of each queue joined its line: (queue, time). One look for each priority in each lane.
WITH RECURSIVE class (queue, lane, priority) AS (
    SELECT queue, id, priority FROM lane WHERE priority IS NOT NULL
    UNION ALL
    SELECT queue, lane, (SELECT max(priority) FROM job
                         WHERE job.lane = class.lane AND state = 'queued' AND job.priority < class.priority)
    FROM class WHERE priority IS NOT NULL)
SELECT class.queue, min(job.queued_at) FROM class
JOIN job ON job.ord = (SELECT min(ord) FROM job
                       WHERE job.lane = class.lane AND state = 'queued' AND job.priority = class.priority)
GROUP BY class.queue
