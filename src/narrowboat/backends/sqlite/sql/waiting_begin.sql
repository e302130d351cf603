-- Count a queue from now on. Returns how many jobs wait in it.
INSERT INTO waiting (queue, n)
SELECT :queue, (SELECT count(*) FROM job WHERE state = 'queued' AND lane IN (SELECT id FROM lane WHERE queue = :queue))
             + (SELECT count(*) FROM job WHERE state = 'scheduled' AND queue = :queue)
RETURNING n
