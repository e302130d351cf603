-- See functions/places.sql.
SELECT * FROM narrowboat.places(%(ids)s, %(most)s)
