-- See functions/seal_batches.sql.
SELECT narrowboat.seal_batches(%(ids)s, %(now)s)
