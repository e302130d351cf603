-- open_gate(scope, now): open a gate; whether it was shut.
CREATE OR REPLACE FUNCTION narrowboat.open_gate(p_scope text, p_now double precision) RETURNS boolean
LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM narrowboat.gate WHERE scope = p_scope OR until <= narrowboat.clock(p_now) RETURNING scope, until
    )
    SELECT EXISTS (SELECT FROM gone WHERE scope = p_scope AND (until IS NULL OR until > narrowboat.clock(p_now)))
$$;
