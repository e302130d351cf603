-- Jobs of a batch were added or have ended. Returns it as in batches.sql, and its final job.
UPDATE batch SET total = total + :total, succeeded = succeeded + :succeeded, dead = dead + :dead,
                 cancelled = cancelled + :cancelled, changed_at = :now WHERE id = :id
RETURNING id, total, succeeded, dead, cancelled, waits_for, sealed, created_at, changed_at, finished_at, final_id, summary, kept, final
