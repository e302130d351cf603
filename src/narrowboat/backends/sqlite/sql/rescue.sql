-- Give a running job to another worker. Returns what a claim needs, as a JSON array (see claimed.sql).
UPDATE job SET worker = :worker, token = :token, step = :step, revision = revision + 1 WHERE ord = :ord
RETURNING (SELECT json_array(id, task, queue, token, CAST(args AS TEXT), priority, errors, crashes, snoozes,
                             printf('%!.17g', enqueued_at), headers, tags, version, shape, started_at IS NOT NULL)
           FROM payload WHERE payload.ord = job.ord)
