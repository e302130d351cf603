-- shut(scope, kind, reason, until, since, now): shut a gate; the same scope again replaces it.
CREATE OR REPLACE FUNCTION narrowboat.shut(
    p_scope text, p_kind text, p_reason text, p_until double precision, p_since double precision, p_now double precision
) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO narrowboat.gate (scope, kind, reason, until, since)
    VALUES (p_scope, p_kind, p_reason, p_until, coalesce(nullif(p_since, 0), narrowboat.clock(p_now)))
    ON CONFLICT (scope) DO UPDATE SET kind = excluded.kind, reason = excluded.reason, until = excluded.until,
        since = excluded.since
$$;
