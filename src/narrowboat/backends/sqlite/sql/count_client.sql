-- How many jobs of a client wait in a queue, counted up to :most.
SELECT count(*) FROM (SELECT 1 FROM job WHERE queue = :queue AND client = :client AND client <> ''
                      AND state IN ('scheduled', 'queued') LIMIT :most)
