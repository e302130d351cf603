-- finish_batch(id, at): a batch whose jobs have all ended as they should is finished, once: its final job is written, in
-- whose headers stands the batch's id and a question mark until the totals are known. Returns the queues whose sleepers
-- should be told.
CREATE OR REPLACE FUNCTION narrowboat.finish_batch(p_id text, p_at double precision) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    done record;
    rings text[];
BEGIN
    UPDATE narrowboat.batch AS b SET finished_at = p_at
    WHERE b.id = p_id AND b.sealed AND b.finished_at IS NULL
      AND b.total = b.succeeded + CASE WHEN b.waits_for = 'ended' THEN b.dead + b.cancelled ELSE 0 END
    RETURNING b.final, b.kept, format('%s %s %s %s %s', b.id, b.total, b.succeeded, b.dead, b.cancelled) AS told INTO done;
    IF FOUND AND done.final IS NOT NULL THEN
        SELECT w.rings INTO rings
        FROM json_to_record(replace(done.final, p_id || ' ?', done.told)::json)
             AS f (queues text[], tasks text[], lane_keys text[], jobs json)
        CROSS JOIN LATERAL narrowboat.write_jobs(f.queues, f.tasks, f.lane_keys, f.jobs, false, p_at, NULL) AS w;
    END IF;
    IF NOT done.kept THEN
        DELETE FROM narrowboat.batch WHERE id = p_id;
    END IF;
    RETURN rings;
END $$;
