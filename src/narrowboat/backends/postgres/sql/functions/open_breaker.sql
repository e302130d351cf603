-- open_breaker(scope, reason, until, at, what): open a breaker, which is locked; what: for its history.
CREATE OR REPLACE FUNCTION narrowboat.open_breaker(
    p_scope text, p_reason text, p_until double precision, p_at double precision, p_what text
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO narrowboat.meter (scope, until, since, reason, opens_at) VALUES (p_scope, p_until, p_at, p_reason, 0)
    ON CONFLICT (scope) DO UPDATE SET until = excluded.until, since = excluded.since, reason = excluded.reason,
        opens_at = 0, probe = '', failures = '{}';
    PERFORM narrowboat.remember(p_scope, p_at, p_what);
END $$;
