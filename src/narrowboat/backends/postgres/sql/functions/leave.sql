-- leave(worker, now): forget a worker; what it holds goes back to its place. Returns the queues whose sleepers should be
-- told.
CREATE OR REPLACE FUNCTION narrowboat.leave(p_worker text, p_now double precision) RETURNS text[]
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET lock_timeout = '4s' AS $$
DECLARE
    me integer;
    rings text[];
BEGIN
    SELECT n INTO me FROM narrowboat.worker WHERE id = p_worker FOR UPDATE;
    rings := narrowboat.give_back((SELECT array_agg(ord) FROM narrowboat.running WHERE worker = me),
                                  narrowboat.clock(p_now));
    DELETE FROM narrowboat.worker WHERE id = p_worker;
    RETURN rings;
END $$;
