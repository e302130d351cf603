-- All running jobs of a worker: (ord, lane, queue, cancel, id, passed, batch).
SELECT ord, lane, queue, cancel, id, passed, batch FROM job WHERE worker = :worker AND state = 'running'
