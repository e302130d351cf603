-- The oldest succeeded and cancelled jobs of a queue: (ord, state, finished_at).
SELECT ord, state, finished_at FROM job WHERE state IN ('succeeded', 'cancelled') AND queue = :queue ORDER BY finished_at, ord LIMIT :n
