-- (info) of a worker.
SELECT info FROM worker WHERE id = :worker
