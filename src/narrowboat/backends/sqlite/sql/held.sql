-- Which of :claims (JSON, [[id, token], ...]) are held by :worker, and what settling them needs.
-- CROSS JOIN and + keep SQLite to one look-up by id for each claim; it would compare all with all.
SELECT job.ord, job.id, lane, errors, crashes, snoozes, started_at, cancel, ran_by, token
FROM json_each(:claims) AS claim CROSS JOIN job ON job.id = claim.value ->> 0
WHERE job.token = claim.value ->> 1 AND +job.state = 'running' AND +job.worker = :worker
