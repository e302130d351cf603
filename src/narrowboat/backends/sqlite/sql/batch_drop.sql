-- Forget a batch that is not to be kept and has no jobs.
DELETE FROM batch WHERE id = :id AND NOT :kept AND total = 0
