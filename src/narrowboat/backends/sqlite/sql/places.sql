-- For each lane of the queued jobs in :ids (JSON): those jobs as JSON, [[id, ord], ...], and the first :most of the lane,
-- [ord, ...]. Counting for each job what stands before it would cost with both numbers.
WITH mine AS (SELECT job.id, job.ord, job.lane FROM json_each(:ids) AS wanted CROSS JOIN job ON job.id = wanted.value
              WHERE job.state = 'queued')
SELECT json_group_array(json_array(id, ord)),
       (SELECT json_group_array(ord) FROM (SELECT ord FROM job WHERE job.lane = mine.lane AND state = 'queued'
                                           ORDER BY priority DESC, ord LIMIT :most))
FROM mine GROUP BY lane
