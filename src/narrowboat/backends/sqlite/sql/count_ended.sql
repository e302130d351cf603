-- How many jobs of a queue have ended: (state, count).
SELECT state, n FROM count WHERE queue = :queue AND state IN ('succeeded', 'cancelled', 'dead')
