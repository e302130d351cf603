-- See functions/publish.sql and functions/control.sql.
SELECT narrowboat.publish(%(worker)s, %(info)s, %(lease_s)s, %(tasks)s, %(specs)s, %(now)s),
       narrowboat.control(%(tasks)s, %(pers)s, %(gates)s)
