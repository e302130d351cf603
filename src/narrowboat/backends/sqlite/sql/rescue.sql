-- Give a running job to another worker. Returns what a claim needs.
UPDATE job SET worker = :worker, token = :token, step = :step, revision = revision + 1 WHERE ord = :ord
RETURNING ord, id, task, queue, token, (SELECT args FROM payload WHERE payload.ord = job.ord), priority, errors, crashes,
          snoozes, enqueued_at, (SELECT headers FROM payload WHERE payload.ord = job.ord), tags,
          (SELECT version FROM payload WHERE payload.ord = job.ord), started_at IS NOT NULL
