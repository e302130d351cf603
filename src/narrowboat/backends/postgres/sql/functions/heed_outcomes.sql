-- heed_outcomes(worker, settled, at): let the gates know of settlements that are about to be made, as `heed` in
-- core/decide.py does; settled: see settle. Returns what is to be settled instead, where a failure is not charged, and the
-- tokens of those failures. The gates are locked.
CREATE OR REPLACE FUNCTION narrowboat.heed_outcomes(
    p_worker integer, p_settled json, p_at double precision, OUT settled json, OUT spared bigint[]
)
LANGUAGE plpgsql AS $$
DECLARE
    ended record;
    gate narrowboat.lane_gate;
    recent double precision[];
    changes jsonb := '{}';
BEGIN
    FOR ended IN
        SELECT s.nth::text AS nth, r.id, r.token, r.snoozes, job.lane, coalesce(s.outcome, 'succeeded') AS outcome, s.trips,
               coalesce(s.slow, 0) AS slow
        FROM ROWS FROM (json_to_recordset(p_settled) AS (
            id text, token bigint, outcome text, trips text, slow double precision
        )) WITH ORDINALITY AS s (id, token, outcome, trips, slow, nth)
        CROSS JOIN LATERAL (
            SELECT * FROM narrowboat.running
            WHERE worker = p_worker AND running.token = s.token AND running.id = s.id LIMIT 1) AS r
        JOIN narrowboat.job ON job.ord = r.ord
        WHERE s.outcome IS DISTINCT FROM 'released' AND (
            s.trips IS NOT NULL OR s.slow > 0
            OR EXISTS (SELECT FROM unnest(r.passed) AS scope WHERE scope LIKE 'breaker:%'))  -- it is a probe
        ORDER BY s.nth
    LOOP
        FOR gate IN SELECT * FROM narrowboat.lane_gate WHERE lane = ended.lane ORDER BY nth LOOP
            IF gate.type = 'rate' AND ended.slow > 0 THEN
                gate.full_at := greatest(gate.full_at, p_at + ended.slow + (gate.burst - 1) * gate.interval_s);
                INSERT INTO narrowboat.meter (scope, full_at, opens_at) VALUES (gate.scope, gate.full_at, 0)
                ON CONFLICT (scope) DO UPDATE SET full_at = excluded.full_at, opens_at = 0;
            ELSIF gate.type <> 'breaker' THEN
                CONTINUE;
            ELSIF ended.trips IS NULL THEN
                IF gate.probe = ended.id AND (ended.outcome IN ('succeeded', 'failed') OR ended.slow > 0) THEN
                    PERFORM narrowboat.close_breaker(gate.scope, p_at);
                END IF;
            ELSIF gate.until <> 0 THEN
                IF gate.probe = ended.id THEN
                    UPDATE narrowboat.meter SET probe = '', until = p_at + gate.retry_after_s, opens_at = 0
                    WHERE scope = gate.scope;
                    PERFORM narrowboat.remember(gate.scope, p_at, 'probe failed');
                END IF;
                spared := spared || ended.token;
                changes := changes || jsonb_build_object(ended.nth, jsonb_build_object(
                    'to', 'scheduled', 'outcome', 'snoozed', 'reason', '',
                    'delay', gate.retry_after_s * 2.0::double precision ^ least(ended.snoozes + 1, 6)));
            ELSE
                recent := ARRAY(
                    SELECT f.at FROM narrowboat.meter CROSS JOIN LATERAL unnest(meter.failures) WITH ORDINALITY AS f (at, nth)
                    WHERE meter.scope = gate.scope AND f.at > p_at - gate.within_s ORDER BY f.nth) || p_at;
                IF cardinality(recent) < gate.most_failures THEN
                    INSERT INTO narrowboat.meter (scope, failures) VALUES (gate.scope, recent)
                    ON CONFLICT (scope) DO UPDATE SET failures = excluded.failures;
                ELSE
                    PERFORM narrowboat.open_breaker(gate.scope, ended.trips, p_at + gate.retry_after_s, p_at, 'opened');
                END IF;
            END IF;
        END LOOP;
    END LOOP;
    settled := p_settled;
    IF changes <> '{}' THEN
        SELECT json_agg(coalesce((s.value::jsonb || (changes -> s.nth::text))::json, s.value) ORDER BY s.nth) INTO settled
        FROM json_array_elements(p_settled) WITH ORDINALITY AS s (value, nth);
    END IF;
END $$;
