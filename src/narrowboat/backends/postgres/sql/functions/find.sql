-- find(after, states, task, queue, tag, limit): jobs, newest first, before `after`; each filter may be NULL. Jobs are found by
-- state, each of which has a table of its own: that costs with the lanes in which jobs are queued, and with the jobs in other
-- states, but not with the jobs that are queued. Where these are wanted it looks through the newest thousand first, which is
-- most often enough; and through all for a tag, by which nothing is kept. LIMIT 1: a planner that has no statistics yet must not
-- begin with the jobs.
CREATE OR REPLACE FUNCTION narrowboat.find(
    p_after bigint, p_states text[], p_task text, p_queue text, p_tag text, p_limit integer
) RETURNS SETOF narrowboat.summary
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    is_queued boolean := p_states IS NULL OR 'queued' = ANY (p_states);
    below bigint := p_after;
    found integer := 0;
BEGIN
    IF is_queued THEN
        below := CASE WHEN p_tag IS NULL THEN least(p_after, (SELECT max(ord) + 1 FROM narrowboat.job)) - 1000 ELSE 0 END;
        RETURN QUERY
        SELECT * FROM narrowboat.summary
        WHERE ord < p_after AND ord >= below
          AND (p_states IS NULL OR state = ANY (p_states))
          AND (p_task IS NULL OR task = p_task)
          AND (p_queue IS NULL OR queue = p_queue)
          AND (p_tag IS NULL OR tags::jsonb ? p_tag)
        ORDER BY ord DESC LIMIT p_limit;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found = p_limit OR below <= 0 THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    WITH RECURSIVE line AS (  -- in a lane, those of one rank stand in order
        SELECT lane.id AS lane, head.rank
        FROM narrowboat.lane
        CROSS JOIN LATERAL (SELECT q.rank FROM narrowboat.queued AS q WHERE q.lane = lane.id
                            ORDER BY q.lane, q.rank, q.ord LIMIT 1) AS head
        WHERE is_queued AND (p_task IS NULL OR lane.task = p_task) AND (p_queue IS NULL OR lane.queue = p_queue)
        UNION ALL
        SELECT line.lane, head.rank
        FROM line
        CROSS JOIN LATERAL (SELECT q.rank FROM narrowboat.queued AS q WHERE q.lane = line.lane AND q.rank > line.rank
                            ORDER BY q.lane, q.rank, q.ord LIMIT 1) AS head
    ), apart AS (
        SELECT best.ord
        FROM line CROSS JOIN LATERAL (
            SELECT q.ord FROM narrowboat.queued AS q  -- said so that no other index has this order
            WHERE (q.lane, q.rank, q.ord) < (line.lane, line.rank, below) AND (q.lane, q.rank, q.ord) > (line.lane, line.rank, 0)
            ORDER BY q.lane DESC, q.rank DESC, q.ord DESC LIMIT p_limit - found) AS best
        UNION ALL
        (SELECT s.ord
         FROM narrowboat.scheduled AS s CROSS JOIN LATERAL (
             SELECT FROM narrowboat.job
             WHERE job.ord = s.ord AND (p_task IS NULL OR job.task = p_task) AND (p_queue IS NULL OR job.queue = p_queue)
               AND (p_tag IS NULL OR job.tags::jsonb ? p_tag) LIMIT 1
         ) AS wanted
         WHERE s.ord < below AND (p_states IS NULL OR 'scheduled' = ANY (p_states))
         ORDER BY s.ord DESC LIMIT p_limit - found)
        UNION ALL
        (SELECT r.ord
         FROM narrowboat.running AS r CROSS JOIN LATERAL (
             SELECT FROM narrowboat.job
             WHERE job.ord = r.ord AND (p_task IS NULL OR job.task = p_task) AND (p_queue IS NULL OR job.queue = p_queue)
               AND (p_tag IS NULL OR job.tags::jsonb ? p_tag) LIMIT 1
         ) AS wanted
         WHERE r.ord < below AND (p_states IS NULL OR 'running' = ANY (p_states))
         ORDER BY r.ord DESC LIMIT p_limit - found)
        UNION ALL
        (SELECT d.ord
         FROM narrowboat.done AS d CROSS JOIN LATERAL (
             SELECT FROM narrowboat.job
             WHERE job.ord = d.ord AND (p_task IS NULL OR job.task = p_task) AND (p_queue IS NULL OR job.queue = p_queue)
               AND (p_tag IS NULL OR job.tags::jsonb ? p_tag) LIMIT 1
         ) AS wanted
         WHERE d.ord < below AND (p_states IS NULL OR d.state = ANY (p_states))
         ORDER BY d.ord DESC LIMIT p_limit - found)
    )
    SELECT * FROM narrowboat.summary
    WHERE ord = ANY (ARRAY(SELECT apart.ord FROM apart ORDER BY apart.ord DESC LIMIT p_limit - found))
    ORDER BY ord DESC;
END $$;
