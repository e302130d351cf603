-- The claims of one step of a worker, but not rescued ones, as one JSON array of arrays: Python gives up its
-- interpreter lock for each row that it fetches, and a busy main thread then keeps it.
SELECT json_group_array(json_array(id, task, queue, token, CAST(args AS TEXT), priority, errors, crashes, snoozes,
                                   printf('%!.17g', enqueued_at), headers, tags, version, shape))
FROM job JOIN payload ON payload.ord = job.ord
WHERE worker = :worker AND step = :step AND state = 'running' AND ran_by = :worker
