-- The latest job of a key.
SELECT job.id FROM key JOIN job ON job.ord = key.ord WHERE key.task = :task AND key.key = :key
