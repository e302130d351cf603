-- A job to cancel: (ord, state, lane, queue, worker, batch).
SELECT ord, state, lane, queue, worker, batch FROM job WHERE id = :id
