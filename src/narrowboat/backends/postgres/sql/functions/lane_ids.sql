-- lane_ids(queues, tasks, lane_keys): the lanes of these names, in order; those that are not there are made.
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
            RETURN found_ids;
        END IF;
        INSERT INTO narrowboat.lane (queue, task, lane_key)
        SELECT DISTINCT named.queue, named.task, named.lane_key
        FROM unnest(p_queues, p_tasks, p_keys) AS named (queue, task, lane_key) ORDER BY 1, 2, 3
        ON CONFLICT DO NOTHING;
    END LOOP;
END $$;
