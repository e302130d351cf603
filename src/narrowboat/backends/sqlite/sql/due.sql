-- At most :n scheduled jobs that are due: (ord, lane, queue).
SELECT ord, lane, queue FROM job WHERE state = 'scheduled' AND due_at <= :now ORDER BY due_at LIMIT :n
