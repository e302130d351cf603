-- See functions/adjust.sql.
SELECT narrowboat.adjust(%(scope)s, %(override)s)
