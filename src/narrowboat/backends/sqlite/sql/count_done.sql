-- How many succeeded and cancelled jobs a queue has.
SELECT count(*) FROM job WHERE state IN ('succeeded', 'cancelled') AND queue = :queue
