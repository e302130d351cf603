-- The key of a lane.
SELECT lane_key FROM lane WHERE id = :lane
