-- See functions/enqueue.sql.
SELECT * FROM narrowboat.enqueue(%(queues)s, %(tasks)s, %(lane_keys)s, %(jobs)s::json, %(is_keyed)s, %(now)s, %(is_alone)s)
