-- ready(queue, tasks, at): whether a job of these tasks could be claimed from this queue now.
CREATE OR REPLACE FUNCTION narrowboat.ready(p_queue text, p_tasks text[], p_at double precision) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    tasks text[] := narrowboat.open_tasks(p_queue, p_tasks, p_at);
BEGIN
    RETURN tasks IS NOT NULL AND (
        EXISTS (SELECT FROM narrowboat.lane
                WHERE lane.queue = p_queue AND lane.rank IS NOT NULL AND lane.held IS NULL AND lane.task = ANY (tasks)
                  AND EXISTS (SELECT FROM narrowboat.queued WHERE queued.lane = lane.id))
        OR EXISTS (SELECT FROM narrowboat.opening JOIN narrowboat.lane ON lane.id = opening.lane
                   WHERE opening.queue = p_queue AND lane.held IS NULL AND lane.task = ANY (tasks)
                     AND EXISTS (SELECT FROM narrowboat.queued WHERE queued.lane = lane.id)));
END $$;
