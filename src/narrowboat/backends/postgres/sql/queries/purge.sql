-- See functions/purge.sql.
SELECT narrowboat.purge(%(keep_s)s, %(keep_max)s, %(dead_s)s, %(dead_max)s, %(limit)s::integer, %(now)s)
