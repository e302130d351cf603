-- At most :n running jobs of a worker: (ord).
SELECT ord FROM job WHERE worker = :worker AND state = 'running' ORDER BY step LIMIT :n
