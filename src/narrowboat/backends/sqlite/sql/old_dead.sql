-- The oldest dead jobs of a queue: (ord, finished_at).
SELECT ord, finished_at FROM job WHERE state = 'dead' AND queue = :queue ORDER BY finished_at, ord LIMIT :n
