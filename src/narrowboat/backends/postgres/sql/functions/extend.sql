-- extend(worker, seq, ids, tokens, now): renew a lease; see Backend.extend. Raises NB001 for a worker that is not known.
CREATE OR REPLACE FUNCTION narrowboat.extend(
    p_worker text, p_seq bigint, p_ids text[], p_tokens bigint[], p_now double precision,
    OUT lost text[], OUT cancelled text[], OUT rings text[]
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan SET lock_timeout = '4s' AS $$
DECLARE
    at double precision := narrowboat.clock(p_now);
    me integer;
BEGIN
    UPDATE narrowboat.worker SET seen_at = at, lease_until = at + lease_s WHERE id = p_worker RETURNING n INTO me;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'worker % is not known', p_worker USING ERRCODE = 'NB001';
    END IF;
    SELECT array_agg(named.id) INTO lost FROM unnest(p_ids, p_tokens) AS named (id, token)
    WHERE NOT EXISTS (SELECT FROM narrowboat.running AS r
                      WHERE r.worker = me AND r.token = named.token AND r.id = named.id);
    rings := narrowboat.give_back((SELECT array_agg(r.ord) FROM narrowboat.running AS r
                                   WHERE r.worker = me AND r.step <= p_seq AND r.token <> ALL (p_tokens)), at);
    cancelled := narrowboat.cancelling(me);
    IF rings IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
END $$;
