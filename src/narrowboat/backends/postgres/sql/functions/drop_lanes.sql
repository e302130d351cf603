-- drop_lanes(lanes): forget those of these lanes that have a key, and of whose jobs no record is left. Waits for nobody, and to
-- be called when nothing else is to be waited for: whoever is about to put jobs into one has locked it, see lane_ids.
CREATE OR REPLACE FUNCTION narrowboat.drop_lanes(p_lanes integer[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    locked integer[] := ARRAY(
        SELECT id FROM narrowboat.lane WHERE id = ANY (p_lanes) AND id < 0 FOR UPDATE SKIP LOCKED);
BEGIN
    WITH gone AS (
        DELETE FROM narrowboat.lane WHERE id = ANY (locked)
            AND NOT EXISTS (SELECT FROM narrowboat.job WHERE job.lane = lane.id AND job.lane < 0)
        RETURNING id
    )
    DELETE FROM narrowboat.opening USING gone WHERE opening.lane = gone.id;
END $$;
