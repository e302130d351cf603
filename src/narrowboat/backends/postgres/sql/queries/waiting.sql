-- How many jobs wait in a queue.
SELECT coalesce(sum(scheduled + queued), 0)::bigint FROM narrowboat.tally WHERE queue = %(queue)s
