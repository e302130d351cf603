-- The batches of :ids (JSON), as core/batch.py has their fields.
SELECT id, total, succeeded, dead, cancelled, waits_for, sealed, created_at, changed_at, finished_at, final_id, summary, kept
FROM batch WHERE id IN (SELECT value FROM json_each(:ids))
