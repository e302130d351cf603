-- A job to cancel: (ord, state, lane, worker).
SELECT ord, state, lane, worker FROM job WHERE id = :id
