-- See functions/cancel.sql.
SELECT * FROM narrowboat.cancel(%(ids)s, %(reason)s, %(now)s)
