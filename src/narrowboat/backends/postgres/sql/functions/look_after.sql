-- look_after(at): let lanes come back from the lines of gates that let something through again, best rank first, then in
-- turn; whether any did. A gate stays due while it has room and somebody stands in line. Waits for nobody: what others hold
-- stays due.
CREATE OR REPLACE FUNCTION narrowboat.look_after(p_at double precision) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    due text[] := ARRAY(SELECT scope FROM narrowboat.meter WHERE opens_at <= p_at ORDER BY opens_at LIMIT 100);
    a_scope text;
    head integer;
    gate narrowboat.lane_gate;
    room integer;
    is_some_back boolean := false;
BEGIN
    FOREACH a_scope IN ARRAY due LOOP
        CONTINUE WHEN NOT narrowboat.try_meters(ARRAY[a_scope]);
        SELECT id INTO head FROM narrowboat.lane WHERE held = a_scope AND rank IS NOT NULL ORDER BY held, rank, turn LIMIT 1;
        SELECT * INTO gate FROM narrowboat.lane_gate WHERE lane = head AND scope = a_scope;
        room := CASE WHEN FOUND THEN narrowboat.room_of(gate, p_at) ELSE 1 << 30 END;
        IF head IS NOT NULL AND room > 0 THEN
            WITH first AS MATERIALIZED (
                SELECT id FROM narrowboat.lane WHERE held = a_scope AND rank IS NOT NULL ORDER BY held, rank, turn
                LIMIT least(room, 1000) FOR NO KEY UPDATE SKIP LOCKED
            )
            UPDATE narrowboat.lane SET held = NULL FROM first WHERE lane.id = first.id;
            is_some_back := is_some_back OR FOUND;
            SELECT id INTO head FROM narrowboat.lane WHERE held = a_scope AND rank IS NOT NULL
            ORDER BY held, rank, turn LIMIT 1;
        END IF;
        IF head IS NULL THEN  -- lanes that are empty are not in its line, either
            UPDATE narrowboat.lane SET held = NULL WHERE id = ANY (ARRAY(
                SELECT id FROM narrowboat.lane WHERE held = a_scope FOR NO KEY UPDATE SKIP LOCKED));
            UPDATE narrowboat.meter SET opens_at = NULL
            WHERE scope = a_scope AND NOT EXISTS (SELECT FROM narrowboat.lane WHERE held = a_scope);
        ELSIF room = 0 THEN
            UPDATE narrowboat.meter SET opens_at = narrowboat.opens_at(gate) WHERE scope = a_scope;
        END IF;
    END LOOP;
    RETURN is_some_back;
END $$;
