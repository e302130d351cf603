-- Delete what belongs to the jobs in :ords (JSON).
DELETE FROM result WHERE ord IN (SELECT value FROM json_each(:ords))
