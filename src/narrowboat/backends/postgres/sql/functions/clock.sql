-- clock(now): the time of the server, or the one that a test gives.
CREATE OR REPLACE FUNCTION narrowboat.clock(p_now double precision) RETURNS double precision
LANGUAGE sql VOLATILE AS $$ SELECT coalesce(p_now, extract(epoch FROM clock_timestamp())::double precision) $$;
