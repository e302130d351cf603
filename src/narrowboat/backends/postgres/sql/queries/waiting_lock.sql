-- One at a time counts the waiting jobs of these queues and adds to them, until its transaction ends.
SELECT pg_advisory_xact_lock(hashtext('narrowboat.limits'), hashtext(queue))
FROM (SELECT queue FROM unnest(%(queues)s::text[]) AS queue ORDER BY queue) AS ordered
