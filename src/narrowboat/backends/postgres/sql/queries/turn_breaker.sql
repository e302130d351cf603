-- See functions/turn_breaker.sql.
SELECT narrowboat.turn_breaker(%(scope)s, %(is_open)s, %(reason)s, %(until)s, %(now)s)
