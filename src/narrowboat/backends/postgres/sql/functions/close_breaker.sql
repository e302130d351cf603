-- close_breaker(scope, at): close a breaker, which is locked; false if it was closed.
CREATE OR REPLACE FUNCTION narrowboat.close_breaker(p_scope text, p_at double precision) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE narrowboat.meter SET until = 0, probe = '', failures = '{}', reason = '', opens_at = 0
    WHERE scope = p_scope AND until <> 0;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM narrowboat.remember(p_scope, p_at, 'closed');
    RETURN true;
END $$;
