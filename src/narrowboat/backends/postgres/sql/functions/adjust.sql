-- adjust(scope, override): put a person's numbers (JSON) in place of the declared ones of a gate; NULL takes them back.
CREATE OR REPLACE FUNCTION narrowboat.adjust(p_scope text, p_override text) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '4s' AS $$
BEGIN
    PERFORM narrowboat.lock_meters(ARRAY[p_scope]);
    INSERT INTO narrowboat.meter (scope, override, opens_at) VALUES (p_scope, p_override, 0)
    ON CONFLICT (scope) DO UPDATE SET override = excluded.override, opens_at = 0;
END $$;
