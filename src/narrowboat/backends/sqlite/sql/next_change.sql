-- When time alone will bring work: a scheduled job of a queue in :queues (JSON) comes due, or a gate opens by
-- itself, or lets something through again.
SELECT min(at) FROM (
    SELECT (SELECT due_at FROM job WHERE state = 'scheduled' AND queue IN (SELECT value FROM json_each(:queues))
            ORDER BY due_at LIMIT 1) AS at
    UNION ALL SELECT min(until) FROM gate
    UNION ALL SELECT min(opens_at) FROM meter WHERE opens_at IS NOT NULL)
