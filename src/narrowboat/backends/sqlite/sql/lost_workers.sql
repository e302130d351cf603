-- Workers other than :worker that are in :dead (JSON).
SELECT id FROM worker WHERE id <> :worker AND id IN (SELECT value FROM json_each(:dead))
