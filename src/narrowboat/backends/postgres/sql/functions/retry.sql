-- retry(ids, args, queue, priority, delay_s, now): queue dead and cancelled jobs again; NULLs change nothing. Returns
-- which were, and the queues whose sleepers should be told.
CREATE OR REPLACE FUNCTION narrowboat.retry(
    p_ids text[], p_args text, p_queue text, p_priority smallint, p_delay_s double precision, p_now double precision,
    OUT retried boolean[], OUT rings text[]
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET lock_timeout = '4s' AS $$
DECLARE
    at double precision := narrowboat.clock(p_now);
    one text;
    found_job record;
    holder bigint;
    new_lane integer;
    left_lanes integer[];
    new_queue text;
    batches text[];
    states text[];
BEGIN
    retried := '{}';
    FOREACH one IN ARRAY p_ids LOOP
        SELECT job.ord, job.task, job.queue, job.lane, job.key, job.priority, job.client, job.batch, lane.lane_key, done.revision,
               done.ran_by, done.state
        INTO found_job
        FROM narrowboat.job JOIN narrowboat.done ON done.ord = job.ord JOIN narrowboat.lane ON lane.id = job.lane
        WHERE job.id = one AND done.state IN ('dead', 'cancelled') FOR UPDATE OF done;
        IF NOT FOUND THEN
            retried := retried || false;
            CONTINUE;
        END IF;
        IF found_job.key IS NOT NULL THEN
            INSERT INTO narrowboat.key AS k (task, key, ord) VALUES (found_job.task, found_job.key, found_job.ord)
            ON CONFLICT (task, key) DO UPDATE SET ord = k.ord RETURNING ord INTO holder;
            IF holder <> found_job.ord AND EXISTS (SELECT FROM narrowboat.summary AS s WHERE s.ord = holder
                                                   AND s.state IN ('queued', 'scheduled', 'running')) THEN
                retried := retried || false;
                CONTINUE;
            END IF;
            UPDATE narrowboat.key AS k SET ord = found_job.ord WHERE k.task = found_job.task AND k.key = found_job.key;
        END IF;
        new_queue := coalesce(p_queue, found_job.queue);
        new_lane := (narrowboat.lane_ids(ARRAY[new_queue], ARRAY[found_job.task], ARRAY[found_job.lane_key]))[1];
        UPDATE narrowboat.job SET queue = new_queue, lane = new_lane, priority = coalesce(p_priority, job.priority),
                                  args = coalesce(p_args, job.args) WHERE job.ord = found_job.ord;
        DELETE FROM narrowboat.done WHERE done.ord = found_job.ord;
        INSERT INTO narrowboat.tally (queue, dead, cancelled)
        VALUES (found_job.queue, -(found_job.state = 'dead')::integer, -(found_job.state = 'cancelled')::integer);
        IF p_delay_s > 0 THEN
            INSERT INTO narrowboat.scheduled (ord, due_at, revision, errors, crashes, snoozes, queue, client, ran_by)
            VALUES (found_job.ord, at + p_delay_s, found_job.revision + 1, 0, 0, 0, new_queue, found_job.client,
                    found_job.ran_by);
            INSERT INTO narrowboat.tally (queue, scheduled) VALUES (new_queue, 1);
            rings := rings || CASE WHEN p_delay_s < 15 THEN new_queue END;
        ELSE
            INSERT INTO narrowboat.queued (ord, queued_at, lane, revision, errors, crashes, snoozes, rank, queue, client, ran_by)
            VALUES (found_job.ord, at, new_lane, found_job.revision + 1, 0, 0, 0,
                    -coalesce(p_priority, found_job.priority), new_queue, found_job.client, found_job.ran_by);
            INSERT INTO narrowboat.tally (queue, queued) VALUES (new_queue, 1);
            rings := rings || narrowboat.line_up(ARRAY[new_lane], ARRAY[-coalesce(p_priority, found_job.priority)]::smallint[]);
        END IF;
        IF found_job.batch IS NOT NULL THEN
            batches := batches || found_job.batch;
            states := states || found_job.state;
        END IF;
        retried := retried || true;
        IF found_job.lane < 0 AND found_job.lane <> new_lane THEN
            left_lanes := left_lanes || found_job.lane;
        END IF;
    END LOOP;
    IF left_lanes IS NOT NULL THEN
        PERFORM narrowboat.drop_lanes(left_lanes);
    END IF;
    IF batches IS NOT NULL THEN
        PERFORM narrowboat.count_batches(batches, states, array_fill(-1, ARRAY[cardinality(batches)]), at);
    END IF;
END $$;
