-- At most :n scheduled jobs that are due: (ord, lane).
SELECT ord, lane FROM job WHERE state = 'scheduled' AND due_at <= :now ORDER BY due_at LIMIT :n
