-- How many jobs wait in a queue that is counted.
SELECT n FROM waiting WHERE queue = :queue
