-- All running jobs of a worker: (ord, lane, cancel).
SELECT ord, lane, cancel FROM job WHERE worker = :worker AND state = 'running'
