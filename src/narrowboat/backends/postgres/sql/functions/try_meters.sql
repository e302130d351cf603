-- try_meters(scopes): lock what these gates remember, if that takes no waiting; whether all of it is locked.
CREATE OR REPLACE FUNCTION narrowboat.try_meters(p_scopes text[]) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT bool_and(pg_try_advisory_xact_lock(narrowboat.meter_lock(), hashtext(scope) & 255))
            FROM unnest(p_scopes) AS scope);
END $$;
