-- See functions/lane_ids.sql.
SELECT narrowboat.lane_ids(%(queues)s, %(tasks)s, %(lane_keys)s)
