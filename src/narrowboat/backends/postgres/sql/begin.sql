-- What every migration begins with: one at a time, and not behind a long transaction for long.
SET LOCAL lock_timeout = '10s';
SET LOCAL check_function_bodies = off;
SELECT pg_advisory_xact_lock(hashtext('narrowboat.migrate'), 0);
DO $$ BEGIN
    IF to_regnamespace(trim(trailing '.' from 'narrowboat.')) IS NULL THEN
        EXECUTE format('CREATE SCHEMA %I', trim(trailing '.' from 'narrowboat.'));
    END IF;
END $$;
CREATE TABLE IF NOT EXISTS narrowboat.schema_version (version integer NOT NULL, oldest integer NOT NULL);
