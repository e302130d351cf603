-- purge(keep_s, keep_max, dead_s, dead_max, limit, now): delete finished records past their retention, oldest first, at
-- most so many; returns how many. What others hold is left for the next time. What gates remember goes, too, when it does
-- not matter any more.
CREATE OR REPLACE FUNCTION narrowboat.purge(
    p_keep_s double precision, p_keep_max bigint, p_dead_s double precision, p_dead_max bigint, p_limit integer,
    p_now double precision
) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET lock_timeout = '4s' AS $$
DECLARE
    at double precision := narrowboat.clock(p_now);
    one record;
    ords bigint[];
    kept bigint[];
    gone integer := 0;
    idle text[];
    lanes integer[];
BEGIN
    PERFORM narrowboat.fold_tally();
    DELETE FROM narrowboat.batch WHERE id IN (
        SELECT id FROM narrowboat.batch
        WHERE changed_at <= at - least(p_keep_s, p_dead_s) AND succeeded + dead + cancelled >= total
          AND changed_at + CASE WHEN finished_at IS NULL THEN p_dead_s ELSE p_keep_s END <= at
        ORDER BY changed_at LIMIT 1000 FOR UPDATE SKIP LOCKED);
    FOR one IN SELECT queue, sum(succeeded + cancelled) AS done, sum(dead) AS dead FROM narrowboat.tally GROUP BY queue
    LOOP
        FOR is_dead IN 0..1 LOOP
            EXIT WHEN gone >= p_limit;
            IF is_dead = 0 THEN
                SELECT array_agg(old.ord) INTO ords FROM (
                    SELECT ord, finished_at, row_number() OVER () AS place FROM (
                        SELECT ord, finished_at FROM narrowboat.done
                        WHERE queue = one.queue AND state IN ('succeeded', 'cancelled')
                        ORDER BY queue, finished_at, ord LIMIT p_limit - gone FOR UPDATE SKIP LOCKED) AS oldest
                ) AS old WHERE old.place <= one.done - p_keep_max OR old.finished_at + p_keep_s <= at;
            ELSE
                SELECT array_agg(old.ord) INTO ords FROM (
                    SELECT ord, finished_at, row_number() OVER () AS place FROM (
                        SELECT ord, finished_at FROM narrowboat.done WHERE queue = one.queue AND state = 'dead'
                        ORDER BY queue, finished_at, ord LIMIT p_limit - gone FOR UPDATE SKIP LOCKED) AS oldest
                ) AS old WHERE old.place <= one.dead - p_dead_max OR old.finished_at + p_dead_s <= at;
            END IF;
            CONTINUE WHEN ords IS NULL;
            SELECT array_agg(job.ord) INTO kept FROM narrowboat.job
            JOIN narrowboat.key ON key.task = job.task AND key.key = job.key AND key.ord = job.ord
            WHERE job.ord = ANY (ords) AND NOT EXISTS (
                SELECT FROM narrowboat.key AS free WHERE free.task = job.task AND free.key = job.key FOR UPDATE SKIP LOCKED);
            SELECT array_agg(ord) INTO ords FROM unnest(ords) AS ord WHERE kept IS NULL OR ord <> ALL (kept);
            CONTINUE WHEN ords IS NULL;
            DELETE FROM narrowboat.key USING narrowboat.job
            WHERE job.ord = ANY (ords) AND key.task = job.task AND key.key = job.key AND key.ord = job.ord;
            DELETE FROM narrowboat.attempt WHERE ord = ANY (ords);
            WITH ended AS (
                DELETE FROM narrowboat.done WHERE ord = ANY (ords) RETURNING state
            )
            INSERT INTO narrowboat.tally (queue, succeeded, dead, cancelled)
            SELECT one.queue, -count(*) FILTER (WHERE state = 'succeeded'), -count(*) FILTER (WHERE state = 'dead'),
                   -count(*) FILTER (WHERE state = 'cancelled')
            FROM ended;
            WITH forgotten AS (
                DELETE FROM narrowboat.job WHERE ord = ANY (ords) RETURNING lane
            )
            SELECT lanes || array_agg(DISTINCT lane) FILTER (WHERE lane < 0) INTO lanes FROM forgotten;
            gone := gone + cardinality(ords);
        END LOOP;
    END LOOP;
    IF lanes IS NOT NULL THEN
        PERFORM narrowboat.drop_lanes(lanes);
    END IF;
    SELECT array_agg(scope) INTO idle FROM (
        SELECT scope FROM narrowboat.meter WHERE idle_at <= at AND opens_at IS NULL ORDER BY idle_at LIMIT p_limit) AS first
    WHERE narrowboat.try_meters(ARRAY[scope]);
    DELETE FROM narrowboat.meter
    WHERE scope = ANY (idle) AND idle_at <= at AND opens_at IS NULL;
    RETURN gone;
END $$;
