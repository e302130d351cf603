-- fold(queues): bring what lanes of these queues were opened since into `lane`. Waits for nobody.
CREATE OR REPLACE FUNCTION narrowboat.fold(p_queues text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM narrowboat.opening WHERE queue = ANY (p_queues)) THEN
        RETURN;
    END IF;
    WITH locked AS MATERIALIZED (
        SELECT opening.lane, opening.turn, opening.rank
        FROM narrowboat.opening JOIN narrowboat.lane ON lane.id = opening.lane
        WHERE opening.queue = ANY (p_queues) LIMIT 1000
        FOR UPDATE OF opening SKIP LOCKED FOR NO KEY UPDATE OF lane SKIP LOCKED
    ), gone AS (
        DELETE FROM narrowboat.opening USING locked
        WHERE opening.lane = locked.lane AND opening.turn = locked.turn
    )
    UPDATE narrowboat.lane
    SET turn = CASE WHEN lane.rank IS NULL THEN opened.turn ELSE lane.turn END,
        rank = least(lane.rank, opened.rank)
    FROM (SELECT locked.lane, min(locked.turn) AS turn, min(locked.rank) AS rank FROM locked GROUP BY locked.lane) AS opened
    WHERE lane.id = opened.lane;
END $$;
