-- The latest job of a key.
SELECT job.id FROM narrowboat.key JOIN narrowboat.job ON job.ord = key.ord
WHERE key.task = %(task)s AND key.key = %(key)s
