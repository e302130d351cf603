-- See functions/step.sql.
SELECT * FROM narrowboat.step(%(worker)s, %(seq)s, %(parts)s::json, %(started)s::json, %(progress)s::json, %(wants)s::json,
                              %(most)s::integer, %(room)s::double precision, %(now)s)
