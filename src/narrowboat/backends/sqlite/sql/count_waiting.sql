-- How many jobs wait in a queue.
SELECT coalesce(sum(n), 0) FROM count WHERE queue = :queue AND state IN ('scheduled', 'queued')
