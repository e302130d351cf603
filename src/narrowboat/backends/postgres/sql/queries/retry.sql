-- See functions/retry.sql.
SELECT * FROM narrowboat.retry(%(ids)s, %(args)s, %(queue)s, %(priority)s::smallint, %(delay_s)s, %(now)s)
