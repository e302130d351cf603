-- control(tasks, pers, gates): the controls of these tasks from now on, see the table; NULLs for a task that has none. Where
-- they are others than before, the lanes find their gates anew.
CREATE OR REPLACE FUNCTION narrowboat.control(p_tasks text[], p_pers text[], p_gates text[]) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '4s' AS $$
DECLARE
    changed text[];
BEGIN
    SELECT array_agg(new.task) INTO changed
    FROM unnest(p_tasks, p_pers, p_gates) AS new (task, per, gates)
    LEFT JOIN narrowboat.control AS old ON old.task = new.task
    WHERE (new.per, new.gates) IS DISTINCT FROM (old.per, old.gates);
    IF changed IS NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(narrowboat.meter_lock(), -1);
    DELETE FROM narrowboat.control WHERE task = ANY (changed);
    INSERT INTO narrowboat.control (task, per, gates)
    SELECT new.task, new.per, new.gates FROM unnest(p_tasks, p_pers, p_gates) AS new (task, per, gates)
    WHERE new.task = ANY (changed) AND new.gates IS NOT NULL;
    PERFORM FROM narrowboat.lane WHERE task = ANY (changed) AND held IS NOT NULL ORDER BY id FOR NO KEY UPDATE;
    UPDATE narrowboat.lane SET held = NULL WHERE task = ANY (changed) AND held IS NOT NULL;
END $$;
