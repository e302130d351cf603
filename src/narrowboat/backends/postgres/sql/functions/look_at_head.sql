-- look_at_head(lane): jobs of a lane have gone; note what its best one is now. Returns that rank, NULL for an empty lane.
-- Waits for nobody: what others hold is left to them. To be called when all that may wait is over.
CREATE OR REPLACE FUNCTION narrowboat.look_at_head(p_lane integer) RETURNS smallint
LANGUAGE plpgsql AS $$
DECLARE
    head smallint;
    said smallint;
BEGIN
    SELECT rank INTO said FROM narrowboat.lane WHERE id = p_lane;
    SELECT rank INTO head FROM narrowboat.queued WHERE lane = p_lane ORDER BY lane, rank, ord LIMIT 1;
    IF head = said OR NOT pg_try_advisory_xact_lock(narrowboat.lane_lock(), p_lane & 63) THEN
        RETURN head;
    END IF;
    PERFORM FROM narrowboat.lane WHERE id = p_lane FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN head;
    END IF;
    SELECT rank INTO head FROM narrowboat.queued WHERE lane = p_lane ORDER BY lane, rank, ord LIMIT 1;
    IF head IS NULL THEN
        UPDATE narrowboat.lane SET rank = NULL WHERE id = p_lane AND rank IS NOT NULL;
        DELETE FROM narrowboat.opening WHERE (lane, turn) IN (
            SELECT lane, turn FROM narrowboat.opening WHERE lane = p_lane FOR UPDATE SKIP LOCKED);
    ELSE
        UPDATE narrowboat.lane SET rank = head WHERE id = p_lane AND rank < head;
    END IF;
    RETURN head;
END $$;
