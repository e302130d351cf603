-- See functions/publish.sql.
SELECT narrowboat.publish(%(worker)s, %(info)s, %(lease_s)s, %(tasks)s, %(specs)s, %(now)s)
