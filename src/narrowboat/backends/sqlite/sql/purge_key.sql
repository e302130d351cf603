-- Forget the keys of the jobs in :ords (JSON).
DELETE FROM key WHERE (task, key) IN (
    SELECT task, key FROM job WHERE ord IN (SELECT value FROM json_each(:ords)) AND key IS NOT NULL)
  AND ord IN (SELECT value FROM json_each(:ords))
