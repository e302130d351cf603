-- A lane: (id, priority of its head, whether its queue is counted).
SELECT id, priority, EXISTS (SELECT 1 FROM waiting WHERE queue = :queue) FROM lane
WHERE queue = :queue AND task = :task AND lane_key = :lane_key
