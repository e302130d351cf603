-- stats(now): queues in numbers, all of one moment, as JSON: counts [[queue, scheduled, queued, running, succeeded, dead,
-- cancelled], ...]; oldest [[queue, seconds], ...], for how long a job has waited; unknown [[queue, task], ...], tasks with
-- queued jobs that no live worker knows; workers [info, ...], live ones; gates [[scope, kind, reason, until, since], ...].
-- Of a lane, only the first job of each rank is looked at.
CREATE OR REPLACE FUNCTION narrowboat.stats(
    p_now double precision, OUT counts json, OUT oldest json, OUT unknown json, OUT workers text[], OUT gates json
)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    at double precision := narrowboat.clock(p_now);
    known text[] := ARRAY(SELECT unnest(tasks) FROM narrowboat.worker WHERE lease_until >= at);
BEGIN
    SELECT json_agg(json_build_array(queue, scheduled, queued, running, succeeded, dead, cancelled)) INTO counts FROM (
        SELECT queue, sum(scheduled) AS scheduled, sum(queued) AS queued, sum(running) AS running,
               sum(succeeded) AS succeeded, sum(dead) AS dead, sum(cancelled) AS cancelled
        FROM narrowboat.tally GROUP BY queue) AS t;
    WITH RECURSIVE first AS (
        SELECT lane.queue, head.lane, head.rank, head.queued_at
        FROM narrowboat.lane CROSS JOIN LATERAL (
            SELECT q.lane, q.rank, q.queued_at FROM narrowboat.queued AS q WHERE q.lane = lane.id
            ORDER BY q.lane, q.rank, q.ord LIMIT 1) AS head
        WHERE lane.rank IS NOT NULL AND lane.held IS NULL
        UNION ALL
        SELECT lane.queue, head.lane, head.rank, head.queued_at
        FROM narrowboat.lane CROSS JOIN LATERAL (
            SELECT q.lane, q.rank, q.queued_at FROM narrowboat.queued AS q WHERE q.lane = lane.id
            ORDER BY q.lane, q.rank, q.ord LIMIT 1) AS head
        WHERE lane.rank IS NOT NULL AND lane.held IS NOT NULL
        UNION ALL
        SELECT opening.queue, head.lane, head.rank, head.queued_at
        FROM narrowboat.opening CROSS JOIN LATERAL (
            SELECT q.lane, q.rank, q.queued_at FROM narrowboat.queued AS q WHERE q.lane = opening.lane
            ORDER BY q.lane, q.rank, q.ord LIMIT 1) AS head
        UNION ALL
        SELECT first.queue, head.lane, head.rank, head.queued_at
        FROM first CROSS JOIN LATERAL (
            SELECT q.lane, q.rank, q.queued_at FROM narrowboat.queued AS q
            WHERE q.lane = first.lane AND q.rank > first.rank ORDER BY q.lane, q.rank, q.ord LIMIT 1) AS head
    )
    SELECT json_agg(json_build_array(queue, greatest(0, at - since))) INTO oldest
    FROM (SELECT queue, min(queued_at) AS since FROM first GROUP BY queue) AS f;
    SELECT json_agg(json_build_array(queue, task)) INTO unknown FROM (
        SELECT DISTINCT lane.queue, lane.task FROM narrowboat.lane
        CROSS JOIN LATERAL (SELECT FROM narrowboat.queued WHERE queued.lane = lane.id LIMIT 1) AS waiting
        WHERE lane.task <> ALL (known)
          AND (lane.rank IS NOT NULL OR EXISTS (SELECT FROM narrowboat.opening WHERE opening.lane = lane.id))
        ORDER BY lane.queue, lane.task) AS u;
    workers := ARRAY(SELECT info FROM narrowboat.worker WHERE lease_until >= at);
    SELECT json_agg(json_build_array(scope, kind, reason, until, since) ORDER BY scope) INTO gates
    FROM narrowboat.gate WHERE until IS NULL OR until > at;
END $$;
