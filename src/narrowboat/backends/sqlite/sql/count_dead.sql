-- How many dead jobs a queue has.
SELECT count(*) FROM job WHERE state = 'dead' AND queue = :queue
