-- Which of :claims (JSON, [[id, token], ...]) are held by :worker, and what settling them needs, as one JSON array
-- of arrays (see claimed.sql).
-- CROSS JOIN and + keep SQLite to one look-up by id for each claim; it would compare all with all.
SELECT json_group_array(json_array(job.ord, job.id, lane, queue, errors, crashes, snoozes,
                                   CASE WHEN started_at IS NOT NULL THEN printf('%!.17g', started_at) END,
                                   cancel, ran_by, token, task, passed, batch))
FROM json_each(:claims) AS claim CROSS JOIN job ON job.id = claim.value ->> 0
WHERE job.token = claim.value ->> 1 AND +job.state = 'running' AND +job.worker = :worker
