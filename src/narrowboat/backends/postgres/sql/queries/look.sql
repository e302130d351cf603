-- See functions/look.sql.
SELECT * FROM narrowboat.look(%(worker)s, %(wants)s::json, %(now)s)
