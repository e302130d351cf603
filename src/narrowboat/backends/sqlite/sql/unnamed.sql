-- Claims of :worker up to step :seq that are not in :claims (JSON, [[id, token], ...]): (ord, lane, queue, cancel, id, passed, batch).
SELECT ord, lane, queue, cancel, id, passed, batch FROM job
WHERE worker = :worker AND state = 'running' AND step <= :seq
  AND (id, token) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(:claims))
