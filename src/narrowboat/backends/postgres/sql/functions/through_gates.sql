-- through_gates(lane, at): how many jobs the gates of a lane let through; NULL for a lane that has none; -1 if others are
-- just going through one of them, for this waits for nobody. A lane that none may leave joins the line of the first shut
-- gate. heard: the gates that want to hear of the end of what goes through now.
CREATE OR REPLACE FUNCTION narrowboat.through_gates(
    p_lane integer, p_at double precision, OUT room integer, OUT heard text[]
)
LANGUAGE plpgsql AS $$
DECLARE
    scopes text[] := ARRAY(SELECT scope FROM narrowboat.lane_gate WHERE lane = p_lane);
    gate narrowboat.lane_gate;
BEGIN
    IF scopes = '{}' THEN
        RETURN;
    ELSIF NOT narrowboat.try_meters(scopes) THEN
        room := -1;
        RETURN;
    END IF;
    FOR gate IN SELECT * FROM narrowboat.lane_gate WHERE lane = p_lane ORDER BY nth LOOP
        room := least(room, narrowboat.room_of(gate, p_at));
        IF room = 0 THEN
            PERFORM FROM narrowboat.lane WHERE id = p_lane FOR NO KEY UPDATE SKIP LOCKED;
            IF NOT FOUND THEN
                room := -1;
                RETURN;
            END IF;
            UPDATE narrowboat.lane SET held = gate.scope WHERE id = p_lane;
            INSERT INTO narrowboat.meter (scope, opens_at) VALUES (gate.scope, narrowboat.opens_at(gate))
            ON CONFLICT (scope) DO UPDATE SET opens_at = excluded.opens_at;
            RETURN;
        END IF;
        IF gate.type = 'limit' OR (gate.type = 'breaker' AND gate.until <> 0) THEN
            heard := heard || gate.scope;
        END IF;
    END LOOP;
END $$;
