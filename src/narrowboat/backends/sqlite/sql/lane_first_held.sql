-- The lane whose turn it is before a gate: (task, lane_key).
SELECT task, lane_key FROM lane WHERE held = :scope AND priority IS NOT NULL AND shut = 0 AND known = 1 ORDER BY priority DESC, turn LIMIT 1
