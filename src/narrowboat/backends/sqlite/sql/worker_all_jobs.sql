-- All running jobs of a worker: (ord, lane, queue, cancel, id, passed).
SELECT ord, lane, queue, cancel, id, passed FROM job WHERE worker = :worker AND state = 'running'
