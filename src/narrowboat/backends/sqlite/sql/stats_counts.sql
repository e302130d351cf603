-- (queue, state, count), each state counted in its own index.
SELECT lane.queue, 'queued', sum(n) FROM (SELECT lane, count(*) AS n FROM job WHERE state = 'queued' GROUP BY lane) AS q
    JOIN lane ON lane.id = q.lane GROUP BY lane.queue
UNION ALL SELECT queue, 'scheduled', count(*) FROM job WHERE state = 'scheduled' GROUP BY queue
UNION ALL SELECT queue, 'running', count(*) FROM job WHERE state = 'running' GROUP BY queue
UNION ALL SELECT queue, 'dead', count(*) FROM job WHERE state = 'dead' GROUP BY queue
UNION ALL SELECT queue, state, count(*) FROM job WHERE state IN ('succeeded', 'cancelled') GROUP BY queue, state
