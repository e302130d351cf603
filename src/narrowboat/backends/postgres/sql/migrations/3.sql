-- Version 3: schedules. Safe for workers of versions from: 1
CREATE TABLE narrowboat.schedule (
    key text COLLATE "C" PRIMARY KEY,
    last double precision NOT NULL DEFAULT 0,  -- the latest due time that was dealt with
    paused boolean NOT NULL DEFAULT false
);

-- Who may use the tables that are there may use the new one.
DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT a.privilege_type, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role
        FROM pg_class CROSS JOIN LATERAL aclexplode(relacl) AS a
        WHERE pg_class.oid = 'narrowboat.gate'::regclass AND a.grantee <> relowner
    LOOP
        EXECUTE format('GRANT %s ON narrowboat.schedule TO %s', granted.privilege_type, granted.role);
    END LOOP;
END $$;
