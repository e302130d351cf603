-- The jobs in :jobs (JSON, [[ord, started_ago_s], ...]) have succeeded.
UPDATE job SET state = 'succeeded', started_at = coalesce(started_at, :now - settled.ago), finished_at = :now, reason = '',
               cancel = NULL, passed = NULL, revision = revision + 1
FROM (SELECT value ->> 0 AS ord, value ->> 1 AS ago FROM json_each(:jobs)) AS settled
WHERE job.ord = settled.ord
