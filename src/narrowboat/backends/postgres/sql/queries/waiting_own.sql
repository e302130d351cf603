-- How many jobs of a client wait in a queue, counted up to `most`.
SELECT count(*) FROM (
    (SELECT FROM narrowboat.queued WHERE queue = %(queue)s AND client = %(client)s AND client <> '' LIMIT %(most)s)
    UNION ALL
    (SELECT FROM narrowboat.scheduled WHERE queue = %(queue)s AND client = %(client)s AND client <> '' LIMIT %(most)s)
    LIMIT %(most)s) AS own
