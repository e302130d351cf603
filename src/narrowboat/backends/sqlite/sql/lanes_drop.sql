-- Drop those of the lanes in :lanes (JSON) that have a key, and of whose jobs no record is left.
DELETE FROM lane WHERE id < 0 AND id IN (SELECT value FROM json_each(:lanes))
    AND NOT EXISTS (SELECT 1 FROM job WHERE job.lane = lane.id AND job.lane < 0)
