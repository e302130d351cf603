-- As find.sql, of the jobs of a batch.
SELECT * FROM narrowboat.summary
WHERE ord IN (SELECT job.ord FROM narrowboat.job WHERE job.batch = %(batch)s AND job.ord < %(after)s)
  AND (%(states)s::text[] IS NULL OR state = ANY (%(states)s))
  AND (%(task)s::text IS NULL OR task = %(task)s)
  AND (%(queue)s::text IS NULL OR queue = %(queue)s)
  AND (%(tag)s::text IS NULL OR tags::jsonb ? %(tag)s)
ORDER BY ord DESC LIMIT %(limit)s
