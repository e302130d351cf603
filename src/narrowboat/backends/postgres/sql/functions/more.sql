-- more(queue, tasks, at): as `ready`, for a step: lanes before shut gates do not count, for they join their lines.
CREATE OR REPLACE FUNCTION narrowboat.more(p_queue text, p_tasks text[], p_at double precision) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    tasks text[] := narrowboat.open_tasks(p_queue, p_tasks, p_at);
    a_lane integer;
BEGIN
    FOR nth IN 1..200 LOOP
        SELECT id INTO a_lane FROM narrowboat.lane
        WHERE queue = p_queue AND rank IS NOT NULL AND held IS NULL AND task = ANY (tasks)
          AND EXISTS (SELECT FROM narrowboat.queued WHERE queued.lane = lane.id)
        ORDER BY queue, rank, turn LIMIT 1;
        IF a_lane IS NULL THEN
            EXIT WHEN tasks IS NULL OR NOT narrowboat.look_after(p_at);
        ELSE
            EXIT WHEN (narrowboat.through_gates(a_lane, p_at)).room IS DISTINCT FROM 0;
        END IF;
    END LOOP;
    RETURN narrowboat.ready(p_queue, p_tasks, p_at);
END $$;
