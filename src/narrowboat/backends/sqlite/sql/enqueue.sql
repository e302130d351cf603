-- One new job.
INSERT INTO job (ord, id, task, queue, lane, priority, state, enqueued_at, queued_at, due_at, key, summary, tags,
                 client, batch)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
