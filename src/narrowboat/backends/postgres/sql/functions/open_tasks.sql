-- open_tasks(queue, tasks, at): those of these tasks whose jobs in this queue no gate holds; NULL for none.
CREATE OR REPLACE FUNCTION narrowboat.open_tasks(p_queue text, p_tasks text[], p_at double precision) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    shut text[];
BEGIN
    SELECT array_agg(scope) INTO shut FROM narrowboat.gate WHERE until IS NULL OR until > p_at;
    IF shut IS NULL THEN
        RETURN p_tasks;
    ELSIF 'queue:' || p_queue = ANY (shut) THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT array_agg(task) FROM unnest(p_tasks) AS task WHERE 'task:' || task <> ALL (shut));
END $$;
