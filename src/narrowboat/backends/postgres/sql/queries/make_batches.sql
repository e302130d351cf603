-- See functions/make_batches.sql.
SELECT narrowboat.make_batches(%(parts)s::json, %(now)s)
