-- count_batches(batches, fields, ns, at): so many more jobs of these batches were written ("total") or are in these final
-- states, or fewer; batches that are finished so get their final jobs. Rows are locked in one order, and last of all that a
-- transaction locks. Returns the queues whose sleepers should be told.
CREATE OR REPLACE FUNCTION narrowboat.count_batches(
    p_batches text[], p_fields text[], p_ns integer[], p_at double precision
) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    one record;
    rings text[];
BEGIN
    FOR one IN
        SELECT c.batch COLLATE "C" AS id, coalesce(sum(n) FILTER (WHERE field = 'total'), 0) AS total,
               coalesce(sum(n) FILTER (WHERE field = 'succeeded'), 0) AS succeeded,
               coalesce(sum(n) FILTER (WHERE field = 'dead'), 0) AS dead,
               coalesce(sum(n) FILTER (WHERE field = 'cancelled'), 0) AS cancelled
        FROM unnest(p_batches, p_fields, p_ns) AS c (batch, field, n) GROUP BY 1 ORDER BY 1
    LOOP
        UPDATE narrowboat.batch AS b
        SET total = b.total + one.total, succeeded = b.succeeded + one.succeeded, dead = b.dead + one.dead,
            cancelled = b.cancelled + one.cancelled, changed_at = p_at
        WHERE b.id = one.id;
        rings := rings || narrowboat.finish_batch(one.id, p_at);
    END LOOP;
    RETURN rings;
END $$;
