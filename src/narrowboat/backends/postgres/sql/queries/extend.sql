-- See functions/extend.sql.
SELECT * FROM narrowboat.extend(%(worker)s, %(seq)s, %(ids)s, %(tokens)s::bigint[], %(now)s)
