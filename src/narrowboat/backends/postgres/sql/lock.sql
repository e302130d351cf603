-- What a change of tables begins with: all of them, or none for now.
-- Programs take tables in orders of their own. Whoever holds one is given way to, with all that was taken so far, before
-- PostgreSQL would look for a deadlock (deadlock_timeout, 1 s); and those who wait behind this have their turn. Then there
-- is more patience, time after time, for an autovacuum ends only for one who has waited that long.
DO $$
DECLARE
    tables text := (
        SELECT string_agg(tables.oid::regclass::text, ', ' ORDER BY tables.oid)
        FROM pg_class AS tables JOIN pg_class AS version USING (relnamespace)
        WHERE version.oid = 'narrowboat.schema_version'::regclass AND tables.relkind = 'r'
    );
    most text := current_setting('lock_timeout');
    until timestamptz := clock_timestamp() + most::interval;
    patience_ms integer := 200;
BEGIN
    LOOP
        PERFORM set_config('lock_timeout', patience_ms || 'ms', true);
        BEGIN
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', tables);
            EXIT;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            IF clock_timestamp() > until THEN
                RAISE;
            END IF;
        END;
        PERFORM pg_sleep(0.05 + 0.1 * random());
        patience_ms := 2 * patience_ms;
    END LOOP;
    PERFORM set_config('lock_timeout', most, true);
END $$;
