-- lock_gates(worker, parts, wants): lock the gates that a step will have to do with, as far as can be told before it: those
-- that want to hear of what it settles, and those before the lanes whose turn it is. See step.
CREATE OR REPLACE FUNCTION narrowboat.lock_gates(p_worker integer, p_parts json, p_wants json) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(narrowboat.meter_lock(), -1);
    PERFORM narrowboat.lock_meters(ARRAY(
        WITH ended AS (
            SELECT r.ord, r.passed, s.trips, s.slow
            FROM json_to_recordset(p_parts) AS p (settled json)
            CROSS JOIN LATERAL json_to_recordset(p.settled) AS s (id text, token bigint, trips text, slow double precision)
            JOIN narrowboat.running AS r ON r.worker = p_worker AND r.token = s.token AND r.id = s.id
        )
        SELECT unnest(passed) FROM ended
        UNION ALL
        SELECT gate.scope FROM ended JOIN narrowboat.job ON job.ord = ended.ord
        JOIN narrowboat.lane_gate AS gate ON gate.lane = job.lane
        WHERE (ended.trips IS NOT NULL AND gate.type = 'breaker') OR (ended.slow > 0 AND gate.type = 'rate')
        UNION ALL
        SELECT gate.scope
        FROM json_to_recordset(p_wants) AS w (queue text, tasks text[], n integer)
        CROSS JOIN LATERAL (
            SELECT id FROM narrowboat.lane
            WHERE queue = w.queue AND rank IS NOT NULL AND held IS NULL AND task = ANY (w.tasks) AND w.n > 0
            ORDER BY queue, rank, turn LIMIT 20) AS first
        JOIN narrowboat.lane_gate AS gate ON gate.lane = first.id));
END $$;
