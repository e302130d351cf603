-- See functions/cancel_jobs.sql.
SELECT * FROM narrowboat.cancel_jobs(%(ids)s, %(reason)s, %(now)s)
