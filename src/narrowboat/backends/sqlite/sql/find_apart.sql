-- As find.sql, before :after, by what is kept of each state: it costs with the lanes in which jobs are queued, and with
-- the jobs in other states, but not with the jobs that are queued. In a lane, those of one priority stand in order. Queued
-- jobs with a tag it does not find: nothing is kept by tag.
WITH RECURSIVE wanted (state) AS (
    SELECT value FROM json_each(coalesce(:states, '["scheduled","queued","running","succeeded","dead","cancelled"]'))
), line (lane, priority) AS (
    SELECT id, priority FROM lane
    WHERE 'queued' IN wanted AND priority IS NOT NULL AND (:task IS NULL OR task = :task) AND (:queue IS NULL OR queue = :queue)
    UNION ALL
    SELECT lane, (SELECT priority FROM job WHERE job.lane = line.lane AND state = 'queued' AND priority < line.priority
                  ORDER BY priority DESC LIMIT 1)
    FROM line WHERE priority IS NOT NULL
), apart (ord) AS (
    SELECT best.value FROM line CROSS JOIN json_each((
        SELECT json_group_array(ord) FROM (
            SELECT ord FROM job WHERE job.lane = line.lane AND priority = line.priority AND state = 'queued' AND ord < :after
            ORDER BY ord DESC LIMIT :limit))) AS best
    UNION ALL
    SELECT ord FROM job WHERE state = 'scheduled' AND 'scheduled' IN wanted AND (:queue IS NULL OR queue = :queue)
    UNION ALL
    SELECT ord FROM job WHERE state = 'running' AND 'running' IN wanted AND (:queue IS NULL OR queue = :queue)
    UNION ALL
    SELECT ord FROM job WHERE state IN ('succeeded', 'cancelled') AND ('succeeded' IN wanted OR 'cancelled' IN wanted)
                          AND (:queue IS NULL OR queue = :queue)
    UNION ALL
    SELECT ord FROM job WHERE state = 'dead' AND 'dead' IN wanted AND (:queue IS NULL OR queue = :queue)
)
SELECT * FROM summary
WHERE ord IN apart AND ord < :after
  AND state IN wanted
  AND (:task IS NULL OR task = :task)
  AND (:queue IS NULL OR queue = :queue)
  AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(summary.tags) WHERE value = :tag))
ORDER BY ord DESC LIMIT :limit
