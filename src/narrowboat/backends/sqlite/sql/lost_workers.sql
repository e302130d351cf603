-- Workers other than :worker whose lease is over, or that are in :dead (JSON).
SELECT id FROM worker
WHERE id <> :worker AND (lease_until < :now OR id IN (SELECT value FROM json_each(:dead)))
