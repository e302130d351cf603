-- See functions/find.sql.
SELECT * FROM narrowboat.find(%(after)s, %(states)s::text[], %(task)s, %(queue)s, %(tag)s, %(limit)s::integer)
