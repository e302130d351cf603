-- See functions/shut.sql.
SELECT narrowboat.shut(%(scope)s, %(kind)s, %(reason)s, %(until)s, %(since)s, %(now)s)
