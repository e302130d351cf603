-- The batches that were made last, as in batches.sql.
SELECT id, total, succeeded, dead, cancelled, waits_for, sealed, created_at, changed_at, finished_at, final_id, summary, kept
FROM batch ORDER BY nth DESC LIMIT :n
