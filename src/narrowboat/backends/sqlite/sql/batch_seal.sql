-- All jobs of a batch are written. Returns it as in batches.sql, and its final job.
UPDATE batch SET sealed = 1, changed_at = :now WHERE id = :id
RETURNING id, total, succeeded, dead, cancelled, waits_for, sealed, created_at, changed_at, finished_at, final_id, summary, kept, final
