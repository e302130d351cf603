-- The jobs that a worker claimed from a token on, in order.
SELECT id FROM job WHERE worker = :worker AND state = 'running' AND step = :step AND token >= :token ORDER BY token
