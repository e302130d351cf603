-- (id) of a lane.
SELECT id FROM lane WHERE queue = :queue AND task = :task AND lane_key = :lane_key
