-- opens_at(gate): when a gate that lets nothing through does so again; NULL: time alone does not open it.
CREATE OR REPLACE FUNCTION narrowboat.opens_at(p_gate narrowboat.lane_gate) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN CASE p_gate.type
        WHEN 'rate' THEN p_gate.full_at - (p_gate.burst - 1) * p_gate.interval_s
        WHEN 'breaker' THEN CASE WHEN p_gate.probe = '' AND p_gate.until < 1e18 THEN p_gate.until END
    END;
END $$;
