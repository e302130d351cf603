-- claim(worker, worker_id, step, queue, tasks, most, has_gates, at): claim at most so many jobs of these tasks, none of
-- which is paused; returns how many. Best rank first, then lanes in turn, 16 jobs a turn, oldest first. Waits for nobody:
-- what others are claiming is passed over. has_gates: some tasks have controls, whose gates may hold lanes on the way.
CREATE OR REPLACE FUNCTION narrowboat.claim(
    p_worker integer, p_worker_id text, p_step bigint, p_queue text, p_tasks text[], p_most integer,
    p_has_gates boolean, p_at double precision
) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    missing integer := p_most;
    passed integer[] := '{}';
    lanes integer[] := '{}';
    ranks smallint[];
    nth integer := 1;
    a_lane integer;
    best smallint;
    n integer;
    taken integer;
    newest bigint;
    head smallint;
    is_sure boolean;
    room integer;
    heard text[];
    rounds integer := 0;
    is_alone boolean;
    served integer[];
BEGIN
    WHILE missing > 0 AND cardinality(passed) < 200 LOOP
        -- Lanes of the best rank are served in turn before it is looked again whose turn it is.
        IF nth > cardinality(lanes) OR ranks[nth] > ranks[1] THEN
            SELECT array_agg(id), array_agg(rank) INTO lanes, ranks FROM (
                SELECT id, rank FROM narrowboat.lane
                WHERE queue = p_queue AND rank IS NOT NULL AND held IS NULL AND task = ANY (p_tasks) AND id <> ALL (passed)
                ORDER BY queue, rank, turn LIMIT 2 + missing / 16
            ) AS best;
            IF lanes IS NULL THEN  -- those that have come back may be of other tasks: then the next ones do
                EXIT WHEN NOT p_has_gates OR rounds = 50 OR NOT narrowboat.look_after(p_at);
                rounds := rounds + 1;
                lanes := '{}';
                CONTINUE;
            END IF;
            nth := 1;
            is_alone := lanes[2] IS NULL OR ranks[2] > ranks[1];
            IF NOT (is_alone OR p_has_gates) THEN  -- all at once; those that give nothing are looked at one by one
                best := ranks[1];
                lanes := ARRAY(SELECT l.lane FROM unnest(lanes, ranks) WITH ORDINALITY AS l (lane, rank, nth)
                               WHERE l.rank = best ORDER BY l.nth);
                SELECT c.taken, c.served INTO taken, served
                FROM narrowboat.claim_of_each(p_worker, p_worker_id, p_step, lanes, best, missing) AS c;
                missing := missing - taken;
                lanes := ARRAY(SELECT l.lane FROM unnest(lanes) WITH ORDINALITY AS l (lane, nth)
                               WHERE served IS NULL OR l.lane <> ALL (served) ORDER BY l.nth);
                ranks := array_fill(best, ARRAY[cardinality(lanes)]);
                CONTINUE;
            END IF;
        END IF;
        n := CASE WHEN is_alone THEN missing ELSE least(missing, 16) END;
        a_lane := lanes[nth];
        best := ranks[nth];
        nth := nth + 1;
        IF p_has_gates THEN
            SELECT g.room, g.heard INTO room, heard FROM narrowboat.through_gates(a_lane, p_at) AS g;
            IF room <= 0 THEN
                passed := passed || a_lane;
                CONTINUE;
            END IF;
            n := least(n, room);
        END IF;
        is_sure := true;
        LOOP
            WITH picked AS MATERIALIZED (
                SELECT ord FROM narrowboat.queued WHERE lane = a_lane AND rank = best ORDER BY lane, rank, ord LIMIT n
                FOR UPDATE SKIP LOCKED
            ), gone AS (
                DELETE FROM narrowboat.queued AS q USING picked WHERE q.ord = picked.ord
                RETURNING q.ord, q.revision, q.errors, q.crashes, q.snoozes, q.queue
            ), held AS (
                INSERT INTO narrowboat.running (ord, token, step, worker, revision, errors, crashes, snoozes, id, queue, ran_by,
                                                passed, batch)
                SELECT ord, nextval('narrowboat.token'), p_step, p_worker, revision + 1, errors, crashes, snoozes, id,
                       queue, p_worker_id, heard, batch
                FROM (SELECT gone.*, job.id, job.batch FROM gone JOIN narrowboat.job ON job.ord = gone.ord ORDER BY gone.ord) AS ordered
                RETURNING ord
            )
            SELECT count(*), max(ord) INTO taken, newest FROM held;
            EXIT WHEN taken > 0;
            head := narrowboat.look_at_head(a_lane);
            EXIT WHEN head IS NULL OR head = best OR NOT is_sure;
            -- The lane has no job of this rank. If it could be noted, another lane may be better; else somebody is just
            -- putting jobs into it, perhaps for long, and its best job is taken though a better one may come.
            EXIT WHEN (SELECT rank FROM narrowboat.lane WHERE id = a_lane) IS DISTINCT FROM best;
            best := head;
            is_sure := false;
        END LOOP;
        IF taken = 0 THEN
            IF head IS NULL OR head = best OR NOT is_sure THEN
                passed := passed || a_lane;
            END IF;
            CONTINUE;
        END IF;
        missing := missing - taken;
        IF room > 0 THEN
            PERFORM narrowboat.went_through(a_lane, taken, newest, p_at);
        END IF;
        IF taken < n OR NOT EXISTS (SELECT FROM narrowboat.queued
                                    WHERE lane = a_lane AND rank = best AND ord > newest) THEN
            PERFORM narrowboat.look_at_head(a_lane);
        END IF;
        -- Its turn is over, which matters only beside other lanes; whoever holds the row is giving it another turn anyway.
        IF p_has_gates OR cardinality(lanes) > 1
           OR EXISTS (SELECT FROM narrowboat.lane
                      WHERE queue = p_queue AND rank IS NOT NULL AND held IS NULL AND id <> a_lane) THEN
            PERFORM FROM narrowboat.lane WHERE id = a_lane FOR NO KEY UPDATE SKIP LOCKED;
            IF FOUND THEN
                UPDATE narrowboat.lane SET turn = nextval('narrowboat.turn') WHERE id = a_lane;
            END IF;
        END IF;
    END LOOP;
    IF missing < p_most THEN
        INSERT INTO narrowboat.tally (queue, queued, running) VALUES (p_queue, missing - p_most, p_most - missing);
    END IF;
    RETURN p_most - missing;
END $$;
