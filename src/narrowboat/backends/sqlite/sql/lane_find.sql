-- A lane: (id, priority of its head).
SELECT id, priority FROM lane
WHERE queue = :queue AND task = :task AND lane_key = :lane_key
