-- Specs of tasks, or of all for NULL.
SELECT task, spec FROM narrowboat.spec WHERE %(tasks)s::text[] IS NULL OR task = ANY (%(tasks)s)
