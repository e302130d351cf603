-- turn_breaker(scope, is_open, reason, until, now): open or close a breaker by hand; whether that changed anything. until:
-- NULL: it tries nothing until a person closes it.
CREATE OR REPLACE FUNCTION narrowboat.turn_breaker(
    p_scope text, p_is_open boolean, p_reason text, p_until double precision, p_now double precision
) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '4s' AS $$
DECLARE
    at double precision;
BEGIN
    PERFORM narrowboat.lock_meters(ARRAY[p_scope]);
    at := narrowboat.clock(p_now);
    IF NOT p_is_open THEN
        RETURN narrowboat.close_breaker(p_scope, at);
    END IF;
    PERFORM narrowboat.open_breaker(p_scope, p_reason, coalesce(p_until, 1e18), at, 'opened by hand');
    RETURN true;
END $$;
