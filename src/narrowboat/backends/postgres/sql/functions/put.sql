-- put(queue, task, lane_key, id, args, priority, client, headers, tags, summary, shape, version, now, channel): enqueue one
-- job that is due and has no key and no batch: the same as `enqueue` of it alone, with no more than that takes. Returns
-- whether it was written, and whether sleepers should be told. They are, on the channel, unless it is NULL, once the job
-- is on the disk: a transaction that tells keeps others that do waiting, and this second one does not wait for a disk.
CREATE OR REPLACE PROCEDURE narrowboat.put(
    p_queue text, p_task text, p_lane_key text, p_id text, p_args text, p_priority smallint, p_client text, p_headers text,
    p_tags text, p_summary text, p_shape text, p_version integer, p_now double precision, p_channel text,
    INOUT is_written boolean, INOUT rings boolean
)
LANGUAGE plpgsql AS $$
DECLARE
    at double precision := narrowboat.clock(p_now);
    a_rank smallint := -p_priority;
    a_lane integer;
    nth bigint;
    is_set text;
BEGIN
    IF random() < 0.005 THEN
        PERFORM narrowboat.fold_tally();
    END IF;
    -- A procedure that commits can have no SET clauses.
    is_set := set_config('enable_seqscan', 'off', true) || set_config('lock_timeout', '4s', true);
    SELECT id INTO a_lane FROM narrowboat.lane WHERE queue = p_queue AND task = p_task AND lane_key = p_lane_key AND id >= 0;
    IF a_lane IS NULL THEN
        a_lane := (narrowboat.lane_ids(ARRAY[p_queue], ARRAY[p_task], ARRAY[p_lane_key]))[1];
    END IF;
    INSERT INTO narrowboat.job (ord, enqueued_at, lane, version, priority, id, task, queue, client, shape, summary, tags,
                                headers, args)
    VALUES (nextval('narrowboat.ord'), at, a_lane, p_version, p_priority, p_id, p_task, p_queue, p_client, p_shape,
            p_summary, p_tags, p_headers, p_args)
    ON CONFLICT (id) DO NOTHING RETURNING ord INTO nth;
    is_written := nth IS NOT NULL;
    rings := false;
    IF NOT is_written THEN
        RETURN;
    END IF;
    INSERT INTO narrowboat.queued (ord, queued_at, lane, revision, errors, crashes, snoozes, rank, queue, client, ran_by)
    VALUES (nth, at, a_lane, 1, 0, 0, 0, a_rank, p_queue, p_client, '');
    INSERT INTO narrowboat.tally (queue, queued) VALUES (p_queue, 1);
    PERFORM pg_advisory_xact_lock_shared(narrowboat.lane_lock(), a_lane & 63);
    IF NOT EXISTS (SELECT FROM narrowboat.lane WHERE id = a_lane AND rank <= a_rank
                   UNION ALL SELECT FROM narrowboat.opening WHERE lane = a_lane AND rank <= a_rank) THEN
        INSERT INTO narrowboat.opening (lane, rank, queue) VALUES (a_lane, a_rank, p_queue);
        rings := true;
    END IF;
    IF rings AND p_channel IS NOT NULL THEN
        COMMIT;
        PERFORM set_config('synchronous_commit', 'off', true);
        PERFORM pg_notify(p_channel, 'queue:' || p_queue) WHERE pg_notification_queue_usage() < 0.9;  -- full: an error
    END IF;
END $$;
