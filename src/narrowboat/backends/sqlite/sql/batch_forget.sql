-- Forget a batch.
DELETE FROM batch WHERE id = :id
