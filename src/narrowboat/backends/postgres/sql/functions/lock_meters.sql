-- lock_meters(scopes): lock what these gates remember until the transaction ends. Waits, in one order for all: to be
-- called once, with only a worker's row locked; whoever wants more later may only try (see try_meters).
CREATE OR REPLACE FUNCTION narrowboat.lock_meters(p_scopes text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(narrowboat.meter_lock(), bucket)
    FROM (SELECT DISTINCT hashtext(scope) & 255 AS bucket FROM unnest(p_scopes) AS scope ORDER BY 1) AS buckets;
END $$;
