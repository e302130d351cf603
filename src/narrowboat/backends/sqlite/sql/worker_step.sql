-- Remember a step.
UPDATE worker SET seq = :seq, reply = :reply, seen_at = :now WHERE id = :worker
