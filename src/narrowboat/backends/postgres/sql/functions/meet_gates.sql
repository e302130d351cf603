-- meet_gates(worker, parts, wants): lock the gates that a step will have to do with, as far as can be told before it: those
-- that want to hear of what it settles, and those before the lanes whose turn it is. See step. Returns the scopes that
-- jobs which it settles went through, one for each job and gate, and the ids of those jobs, for `let_go`; and whether
-- `heed_outcomes` has anything to do.
CREATE OR REPLACE FUNCTION narrowboat.meet_gates(
    p_worker integer, p_parts json, p_wants json, OUT scopes text[], OUT ids text[], OUT has_news boolean
)
LANGUAGE plpgsql AS $$
DECLARE
    spoken text[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(narrowboat.meter_lock(), -1);
    -- LIMIT makes it one look-up for each settlement, whatever the planner believes of `running`.
    WITH ended AS MATERIALIZED (
        SELECT r.*, s.trips IS NOT NULL AS trips, coalesce(s.slow, 0) > 0 AS slows
        FROM json_to_recordset(p_parts) AS p (settled json)
        CROSS JOIN LATERAL json_to_recordset(p.settled) AS s (id text, token bigint, trips text, slow double precision)
        CROSS JOIN LATERAL (
            SELECT ord, id, passed FROM narrowboat.running
            WHERE worker = p_worker AND token = s.token AND running.id = s.id LIMIT 1) AS r
        WHERE s.trips IS NOT NULL OR s.slow > 0 OR r.passed IS NOT NULL
    ), let_go AS MATERIALIZED (
        SELECT DISTINCT id, scope FROM ended CROSS JOIN LATERAL unnest(passed) AS scope
    )
    SELECT (SELECT array_agg(scope) FROM let_go), (SELECT array_agg(id) FROM let_go),
           EXISTS (SELECT FROM ended WHERE trips OR slows) OR EXISTS (SELECT FROM let_go WHERE scope LIKE 'breaker:%'),
           ARRAY(SELECT gate.scope FROM ended JOIN narrowboat.job ON job.ord = ended.ord
                 JOIN narrowboat.lane_gate AS gate ON gate.lane = job.lane
                 WHERE (trips AND gate.type = 'breaker') OR (slows AND gate.type = 'rate'))
    INTO scopes, ids, has_news, spoken;
    PERFORM narrowboat.lock_meters(scopes || spoken || ARRAY(
        SELECT gate.scope
        FROM json_to_recordset(p_wants) AS w (queue text, tasks text[], n integer)
        CROSS JOIN LATERAL (
            SELECT id FROM narrowboat.lane
            WHERE queue = w.queue AND rank IS NOT NULL AND held IS NULL AND task = ANY (w.tasks) AND w.n > 0
            ORDER BY queue, rank, turn LIMIT 20) AS first
        JOIN narrowboat.lane_gate AS gate ON gate.lane = first.id));
END $$;
