-- enqueue(queues, tasks, lane_keys, jobs, is_keyed, now, is_alone): see write_jobs. is_alone: this is all of its
-- transaction, which may therefore tidy up.
CREATE OR REPLACE FUNCTION narrowboat.enqueue(
    p_queues text[], p_tasks text[], p_lane_keys text[], p_jobs json, p_is_keyed boolean, p_now double precision,
    p_is_alone boolean, OUT passed integer[], OUT there text[], OUT rings text[]
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = on SET jit = off
SET plan_cache_mode = force_generic_plan SET lock_timeout = '4s' AS $$
BEGIN
    IF p_is_alone AND random() < 0.005 THEN
        PERFORM narrowboat.fold_tally();
    END IF;
    SELECT w.passed, w.there, w.rings INTO passed, there, rings
    FROM narrowboat.write_jobs(p_queues, p_tasks, p_lane_keys, p_jobs, p_is_keyed, narrowboat.clock(p_now), NULL) AS w;
END $$;
