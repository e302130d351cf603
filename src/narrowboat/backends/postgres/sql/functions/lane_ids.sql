-- lane_ids(queues, tasks, lane_keys): the lanes of these names, in order; those that are not there are made. Those with a
-- key are locked until the transaction ends, so that they are not dropped before a job is in them.
CREATE OR REPLACE FUNCTION narrowboat.lane_ids(p_queues text[], p_tasks text[], p_keys text[]) RETURNS integer[]
LANGUAGE plpgsql AS $$
DECLARE
    found_ids integer[];
BEGIN
    LOOP
        SELECT array_agg(lane.id ORDER BY named.n) INTO found_ids
        FROM unnest(p_queues, p_tasks, p_keys) WITH ORDINALITY AS named (queue, task, lane_key, n)
        LEFT JOIN narrowboat.lane
            ON lane.queue = named.queue AND lane.task = named.task AND lane.lane_key = named.lane_key;
        IF array_position(found_ids, NULL) IS NULL THEN
            IF 0 <= ALL (found_ids) THEN
                RETURN found_ids;
            END IF;
            PERFORM FROM narrowboat.lane WHERE id = ANY (found_ids) AND id < 0 FOR KEY SHARE;
            IF NOT EXISTS (SELECT FROM unnest(found_ids) AS found (id) WHERE id < 0
                           AND NOT EXISTS (SELECT FROM narrowboat.lane WHERE lane.id = found.id)) THEN
                RETURN found_ids;
            END IF;
        END IF;
        INSERT INTO narrowboat.lane (id, queue, task, lane_key) OVERRIDING SYSTEM VALUE
        SELECT CASE WHEN lane_key = '' THEN 1 ELSE -1 END * nextval('narrowboat.lane_id_seq'), queue, task, lane_key
        FROM (SELECT DISTINCT named.queue, named.task, named.lane_key
              FROM unnest(p_queues, p_tasks, p_keys) AS named (queue, task, lane_key) ORDER BY 1, 2, 3) AS missing
        ON CONFLICT DO NOTHING;
    END LOOP;
END $$;
