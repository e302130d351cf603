-- fold_tally(): make few rows of `tally` out of many. Waits for nobody.
CREATE OR REPLACE FUNCTION narrowboat.fold_tally() RETURNS void
LANGUAGE sql AS $$
    WITH old AS (
        DELETE FROM narrowboat.tally WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM narrowboat.tally LIMIT 5000 FOR UPDATE SKIP LOCKED)) RETURNING *
    )
    INSERT INTO narrowboat.tally (queue, scheduled, queued, running, succeeded, dead, cancelled)
    SELECT queue, sum(scheduled), sum(queued), sum(running), sum(succeeded), sum(dead), sum(cancelled)
    FROM old GROUP BY queue
    HAVING (sum(scheduled), sum(queued), sum(running), sum(succeeded), sum(dead), sum(cancelled)) <> (0, 0, 0, 0, 0, 0)
$$;
