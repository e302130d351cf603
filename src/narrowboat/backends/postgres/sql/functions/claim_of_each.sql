-- claim_of_each(worker, worker_id, step, lanes, rank, most): give each of these lanes its turn, 16 jobs of this rank, until there
-- are `most`; for lanes without gates. Returns how many were claimed, and the lanes that gave some. Waits for nobody: lanes
-- whose jobs others are claiming give nothing.
CREATE OR REPLACE FUNCTION narrowboat.claim_of_each(
    p_worker integer, p_worker_id text, p_step bigint, p_lanes integer[], p_rank smallint, p_most integer,
    OUT taken integer, OUT served integer[]
)
LANGUAGE plpgsql AS $$
DECLARE
    newests bigint[];
    a_lane integer;
BEGIN
    WITH line AS MATERIALIZED (
        SELECT l.lane, l.nth FROM unnest(p_lanes) WITH ORDINALITY AS l (lane, nth)
    ), picked AS MATERIALIZED (
        SELECT line.nth, oldest.ord
        FROM line CROSS JOIN LATERAL (
            SELECT q.ord FROM narrowboat.queued AS q WHERE q.lane = line.lane AND q.rank = p_rank
            ORDER BY q.lane, q.rank, q.ord LIMIT 16 FOR UPDATE SKIP LOCKED
        ) AS oldest LIMIT p_most
    ), gone AS (
        DELETE FROM narrowboat.queued AS q USING picked WHERE q.ord = picked.ord
        RETURNING q.ord, q.revision, q.errors, q.crashes, q.snoozes, q.queue, q.lane, picked.nth
    ), held AS (
        INSERT INTO narrowboat.running (ord, token, step, worker, revision, errors, crashes, snoozes, id, queue, ran_by, batch)
        SELECT ord, nextval('narrowboat.token'), p_step, p_worker, revision + 1, errors, crashes, snoozes, id, queue,
               p_worker_id, batch
        FROM (SELECT gone.*, job.id, job.batch FROM gone JOIN narrowboat.job ON job.ord = gone.ord
              ORDER BY gone.nth, gone.ord) AS ordered
    )
    SELECT coalesce(sum(g.n), 0), array_agg(g.lane ORDER BY g.nth), array_agg(g.newest ORDER BY g.nth)
    INTO taken, served, newests
    FROM (SELECT lane, nth, count(*) AS n, max(ord) AS newest FROM gone GROUP BY lane, nth) AS g;
    FOR a_lane IN SELECT l.lane FROM unnest(served, newests) AS l (lane, newest)
                  WHERE NOT EXISTS (SELECT FROM narrowboat.queued AS q
                                    WHERE q.lane = l.lane AND q.rank = p_rank AND q.ord > l.newest) LOOP
        PERFORM narrowboat.look_at_head(a_lane);
    END LOOP;
    UPDATE narrowboat.lane SET turn = given.turn
    FROM (SELECT locked.id, nextval('narrowboat.turn') AS turn FROM (
              SELECT lane.id FROM unnest(served) WITH ORDINALITY AS l (lane, nth)
              JOIN narrowboat.lane ON lane.id = l.lane ORDER BY l.nth FOR NO KEY UPDATE OF lane SKIP LOCKED
          ) AS locked) AS given
    WHERE lane.id = given.id;
END $$;
