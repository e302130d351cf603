-- The order of the newest job. Numbers of purged jobs may come again; no record of theirs is left.
SELECT coalesce(max(ord), 0) FROM job
