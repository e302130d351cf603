-- enqueue.sql, and a hint for sleepers, which PostgreSQL passes on when the transaction is committed.
SELECT written.*, (SELECT count(pg_notify(%(channel)s, bell)) FROM unnest(%(bells)s::text[]) AS bell) AS told
FROM narrowboat.enqueue(%(queues)s, %(tasks)s, %(lane_keys)s, %(jobs)s::json, %(is_keyed)s, %(now)s, false) AS written
