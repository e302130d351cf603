-- Forget batches all of whose jobs have ended: finished ones unchanged since :finished, others since :held.
DELETE FROM batch WHERE succeeded + dead + cancelled >= total
AND changed_at <= CASE WHEN finished_at IS NULL THEN :held ELSE :finished END
