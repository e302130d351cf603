-- went_through(lane, n, ord, at): n jobs of a lane, of which this was the last, have gone through its gates, which are
-- locked. The same as `take` of each control in core/controls.py.
CREATE OR REPLACE FUNCTION narrowboat.went_through(p_lane integer, p_n integer, p_ord bigint, p_at double precision)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    gate narrowboat.lane_gate;
BEGIN
    FOR gate IN SELECT * FROM narrowboat.lane_gate WHERE lane = p_lane LOOP
        IF gate.type = 'rate' THEN
            FOR nth IN 1..p_n LOOP  -- one by one, as floating-point numbers add up
                gate.full_at := greatest(gate.full_at, p_at) + gate.interval_s;
            END LOOP;
            INSERT INTO narrowboat.meter (scope, full_at) VALUES (gate.scope, gate.full_at)
            ON CONFLICT (scope) DO UPDATE SET full_at = excluded.full_at;
        ELSIF gate.type = 'limit' THEN
            INSERT INTO narrowboat.meter AS m (scope, running) VALUES (gate.scope, p_n)
            ON CONFLICT (scope) DO UPDATE SET running = m.running + p_n;
        ELSIF gate.until <> 0 THEN
            UPDATE narrowboat.meter SET probe = (SELECT id FROM narrowboat.job WHERE ord = p_ord) WHERE scope = gate.scope;
        END IF;
    END LOOP;
END $$;
