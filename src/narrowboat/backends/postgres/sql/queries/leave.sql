-- See functions/leave.sql.
SELECT narrowboat.leave(%(worker)s, %(now)s)
