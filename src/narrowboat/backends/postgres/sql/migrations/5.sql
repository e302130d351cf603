-- Version 5: batches. Safe for workers of versions from: 1
CREATE TABLE narrowboat.batch (
    id text COLLATE "C" PRIMARY KEY,
    nth bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    total bigint NOT NULL DEFAULT 0,
    succeeded bigint NOT NULL DEFAULT 0,
    dead bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    created_at double precision NOT NULL,
    changed_at double precision NOT NULL,
    finished_at double precision,
    sealed boolean NOT NULL DEFAULT false,  -- all its jobs are written
    kept boolean NOT NULL,                  -- false: its row goes as soon as it is finished
    waits_for text NOT NULL,                -- succeeded or ended
    final_id text NOT NULL,
    summary text NOT NULL,
    final text                              -- the final job: a JSON object, as write_jobs takes its values
) WITH (fillfactor = 70);
CREATE INDEX batch_changed ON narrowboat.batch (changed_at);
ALTER TABLE narrowboat.job ADD COLUMN batch text COLLATE "C";      -- that counts it
ALTER TABLE narrowboat.running ADD COLUMN batch text COLLATE "C";
CREATE INDEX job_batch ON narrowboat.job (batch, ord) WHERE batch IS NOT NULL;
DROP FUNCTION IF EXISTS narrowboat.settle(integer, json, double precision);  -- it returns more, to step alone

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
        EXECUTE format('GRANT %s ON narrowboat.batch TO %s', granted.privilege_type, granted.role);
    END LOOP;
END $$;
