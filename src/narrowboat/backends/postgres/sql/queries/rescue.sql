-- See functions/rescue.sql.
SELECT * FROM narrowboat.rescue(%(worker)s, %(limit)s::integer, %(dead)s, %(now)s)
