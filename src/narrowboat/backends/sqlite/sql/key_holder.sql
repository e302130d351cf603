-- The latest job of a key: (id, state, finished_at).
SELECT job.id, job.state, job.finished_at FROM key JOIN job ON job.ord = key.ord WHERE key.task = :task AND key.key = :key
