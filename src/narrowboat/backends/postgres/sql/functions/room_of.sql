-- room_of(gate, at): how many jobs a gate lets through. The same as `room` of each control in core/controls.py.
CREATE OR REPLACE FUNCTION narrowboat.room_of(p_gate narrowboat.lane_gate, p_at double precision) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    spare_s double precision;
BEGIN
    IF p_gate.type = 'limit' THEN
        RETURN greatest(0, p_gate.most - p_gate.running);
    ELSIF p_gate.type = 'breaker' THEN
        RETURN CASE WHEN p_gate.until = 0 THEN 1 << 30 WHEN p_gate.probe <> '' OR p_at < p_gate.until THEN 0 ELSE 1 END;
    END IF;
    spare_s := p_at - (p_gate.full_at - (p_gate.burst - 1) * p_gate.interval_s);
    IF spare_s < 0 THEN
        RETURN 0;
    END IF;
    RETURN least(p_gate.burst, trunc(spare_s / p_gate.interval_s + 1e-9::double precision) + 1)::integer;
END $$;
