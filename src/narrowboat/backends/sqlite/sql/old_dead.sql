-- The oldest dead jobs of a queue: (ord, state, finished_at).
SELECT ord, state, finished_at FROM job WHERE state = 'dead' AND queue = :queue ORDER BY finished_at, ord LIMIT :n
