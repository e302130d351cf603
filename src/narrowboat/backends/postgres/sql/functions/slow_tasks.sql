-- slow_tasks(worker, settled, at): of settlements that are about to be made, those in which a service asks to slow down
-- shut their task for so long, unless it has a rate, or is shut for longer. settled: see settle.
CREATE OR REPLACE FUNCTION narrowboat.slow_tasks(p_worker integer, p_settled json, p_at double precision) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO narrowboat.gate (scope, kind, reason, until, since)
    SELECT 'task:' || job.task, 'slow-down', 'a service asked to slow down', p_at + max(s.slow), p_at
    FROM json_to_recordset(p_settled) AS s (id text, token bigint, outcome text, slow double precision)
    JOIN narrowboat.running AS r ON r.worker = p_worker AND r.token = s.token AND r.id = s.id
    JOIN narrowboat.job ON job.ord = r.ord
    WHERE s.slow > 0 AND s.outcome IS DISTINCT FROM 'released'
      AND NOT EXISTS (SELECT FROM narrowboat.lane_gate AS own WHERE own.lane = job.lane AND own.type = 'rate')
    GROUP BY job.task ORDER BY job.task
    ON CONFLICT (scope) DO UPDATE SET
        kind = CASE WHEN gate.until <= p_at THEN excluded.kind ELSE gate.kind END,
        reason = CASE WHEN gate.until <= p_at THEN excluded.reason ELSE gate.reason END,
        since = CASE WHEN gate.until <= p_at THEN excluded.since ELSE gate.since END,
        until = excluded.until
    WHERE gate.until < excluded.until
$$;
