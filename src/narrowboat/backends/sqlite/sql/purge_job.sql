-- Delete the jobs in :ords (JSON). Returns their lanes.
DELETE FROM job WHERE ord IN (SELECT value FROM json_each(:ords)) RETURNING lane
