-- remember(scope, at, what): a line for the history of a breaker, which is locked; the last 20 are kept.
CREATE OR REPLACE FUNCTION narrowboat.remember(p_scope text, p_at double precision, p_what text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE narrowboat.meter
    SET history_at = history_at[greatest(1, cardinality(history_at) - 18):] || p_at,
        history = history[greatest(1, cardinality(history) - 18):] || p_what
    WHERE scope = p_scope;
END $$;
