-- seal_batches(ids, now): all jobs of these batches are written. Returns the queues whose sleepers should be told.
CREATE OR REPLACE FUNCTION narrowboat.seal_batches(p_ids text[], p_now double precision) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    at double precision := narrowboat.clock(p_now);
    one text;
    rings text[];
BEGIN
    FOR one IN SELECT id FROM unnest(p_ids) AS id ORDER BY id COLLATE "C" LOOP
        DELETE FROM narrowboat.batch WHERE id = one AND NOT kept AND total = 0;
        UPDATE narrowboat.batch SET sealed = true, changed_at = at WHERE id = one;
        rings := rings || narrowboat.finish_batch(one, at);
    END LOOP;
    RETURN rings;
END $$;
