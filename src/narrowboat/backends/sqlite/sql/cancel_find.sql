-- A job to cancel: (ord, state, lane, queue, worker).
SELECT ord, state, lane, queue, worker FROM job WHERE id = :id
