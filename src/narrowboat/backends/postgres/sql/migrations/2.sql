-- Version 2: controls, which hold the jobs of a task back. Safe for workers of versions from: 1
-- Steps begin with the row of their worker, so that none is under way which could wait for this while this waits for it.
-- Functions of version 1 that have other arguments now stay, for those who are just calling them.
LOCK TABLE narrowboat.worker IN EXCLUSIVE MODE;
LOCK TABLE narrowboat.lane, narrowboat.running IN ACCESS EXCLUSIVE MODE;

-- The gate in whose line a lane stands, since that lets nothing through. Such lanes are not in the index of open ones.
ALTER TABLE narrowboat.lane ADD COLUMN held text COLLATE "C";
DROP INDEX narrowboat.lane_open;
CREATE INDEX lane_open ON narrowboat.lane (queue, rank, turn) WHERE rank IS NOT NULL AND held IS NULL;
CREATE INDEX lane_held ON narrowboat.lane (held, rank, turn) WHERE held IS NOT NULL;
CREATE INDEX lane_held_task ON narrowboat.lane (task) WHERE held IS NOT NULL;

-- The gates that want to hear of the end of a running job; NULL for none.
ALTER TABLE narrowboat.running ADD COLUMN passed text[];

-- Tasks that have controls. gates: a JSON array of what is published, see core/controls.py.
CREATE TABLE narrowboat.control (
    task text COLLATE "C" PRIMARY KEY,
    per text COLLATE "C" NOT NULL,     -- a gate of this key has the lane's own; '': there is none
    gates text NOT NULL
);

-- What a gate of a control remembers, see core/controls.py. Whoever reads it to decide, or writes it, has locked its
-- scope: see functions/lock_meters.sql.
CREATE TABLE narrowboat.meter (
    scope text COLLATE "C" PRIMARY KEY,
    opens_at double precision,         -- when its line is to be looked after; NULL: when something happens to it
    full_at double precision NOT NULL DEFAULT 0,
    until double precision NOT NULL DEFAULT 0,
    since double precision NOT NULL DEFAULT 0,
    running integer NOT NULL DEFAULT 0,
    probe text COLLATE "C" NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    failures double precision[] NOT NULL DEFAULT '{}',
    history_at double precision[] NOT NULL DEFAULT '{}',
    history text[] NOT NULL DEFAULT '{}',
    override text                      -- JSON
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, vacuum_truncate = off);
CREATE INDEX meter_due ON narrowboat.meter (opens_at) WHERE opens_at IS NOT NULL;
CREATE INDEX meter_open ON narrowboat.meter (scope) WHERE until <> 0;
CREATE INDEX meter_idle ON narrowboat.meter (full_at)
    WHERE opens_at IS NULL AND running = 0 AND until = 0 AND failures = '{}' AND history = '{}' AND override IS NULL;

CREATE TYPE narrowboat.numbers AS (
    type text, key text, burst integer, most integer, failures integer, interval_s double precision,
    within_s double precision, retry_after_s double precision
);

-- The gates of the controls of each lane, with the numbers that hold now and what they remember.
CREATE VIEW narrowboat.lane_gate AS
SELECT lane.id AS lane, declared.nth, named.type, named.scope, holds.burst, holds.most, holds.failures AS most_failures,
       holds.interval_s, holds.within_s, holds.retry_after_s, coalesce(meter.full_at, 0) AS full_at,
       coalesce(meter.running, 0) AS running, coalesce(meter.until, 0) AS until, coalesce(meter.probe, '') AS probe
FROM narrowboat.lane
JOIN narrowboat.control ON control.task = lane.task
CROSS JOIN LATERAL json_array_elements(control.gates::json) WITH ORDINALITY AS declared (spec, nth)
CROSS JOIN LATERAL (
    SELECT spec ->> 'type' AS type,
           (spec ->> 'type') || ':' || CASE WHEN control.per <> '' AND spec ->> 'key' = control.per THEN lane.lane_key
                                            ELSE spec ->> 'key' END AS scope
) AS named
LEFT JOIN narrowboat.meter ON meter.scope = named.scope
CROSS JOIN LATERAL json_populate_record(NULL::narrowboat.numbers, coalesce(meter.override::json, declared.spec)) AS holds;

-- Who may use the tables that are there may use the new ones.
DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT a.privilege_type, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role
        FROM pg_class CROSS JOIN LATERAL aclexplode(relacl) AS a
        WHERE pg_class.oid = 'narrowboat.gate'::regclass AND a.grantee <> relowner
    LOOP
        EXECUTE format('GRANT %s ON narrowboat.control, narrowboat.meter, narrowboat.lane_gate TO %s',
                       granted.privilege_type, granted.role);
    END LOOP;
END $$;
