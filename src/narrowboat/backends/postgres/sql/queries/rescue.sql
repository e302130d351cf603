-- See functions/rescue.sql.
SELECT * FROM narrowboat.rescue(%(worker)s, %(dead)s::text[], %(limit)s::integer)
