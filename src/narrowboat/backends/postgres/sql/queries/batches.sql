-- Batches by id, as core/batch.py has their fields.
SELECT id, total, succeeded, dead, cancelled, waits_for, sealed, created_at, changed_at, finished_at, final_id, summary, kept
FROM narrowboat.batch WHERE id = ANY (%(ids)s)
