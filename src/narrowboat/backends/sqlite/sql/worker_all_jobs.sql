-- All running jobs of a worker: (ord, lane, queue, cancel).
SELECT ord, lane, queue, cancel FROM job WHERE worker = :worker AND state = 'running'
