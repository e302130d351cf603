-- Version 1: the first schema. Safe for workers of versions from: 1
-- A job has one row in `job`, which is written once, and one row in the table of its state, which moves with it:
-- queued -> running -> done. What waits and what runs stays small so; what is over is read and purged apart.
-- Times are seconds since 1970 on the server's clock. Names compare by byte, so that no update of a locale harms an index.

CREATE SEQUENCE narrowboat.ord;    -- order of arrival
CREATE SEQUENCE narrowboat.token;  -- of claims
CREATE SEQUENCE narrowboat.turn;   -- of lanes

CREATE TABLE narrowboat.lane (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    task text COLLATE "C" NOT NULL,
    lane_key text COLLATE "C" NOT NULL,
    rank smallint,                   -- no job queued here goes before this rank; NULL: none is queued
    turn bigint NOT NULL DEFAULT 0,  -- lanes of one rank are served by this, lowest first
    UNIQUE (queue, task, lane_key)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, vacuum_truncate = off);
CREATE INDEX lane_open ON narrowboat.lane (queue, rank, turn) WHERE rank IS NOT NULL;

-- Lanes that got their first job, or one of a better rank. Whoever enqueues adds a row, for it must not wait for others
-- that do so in long transactions; whoever claims folds these into `lane`.
CREATE TABLE narrowboat.opening (
    lane integer NOT NULL,
    turn bigint NOT NULL DEFAULT nextval('narrowboat.turn'),
    rank smallint NOT NULL,
    queue text COLLATE "C" NOT NULL,
    PRIMARY KEY (lane, turn)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, vacuum_truncate = off);
CREATE INDEX opening_queue ON narrowboat.opening (queue);

CREATE TABLE narrowboat.job (
    ord bigint PRIMARY KEY,
    enqueued_at double precision NOT NULL,
    lane integer NOT NULL,
    version integer NOT NULL,
    priority smallint NOT NULL,
    id text COLLATE "C" NOT NULL UNIQUE,
    task text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    client text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    shape text NOT NULL,
    summary text NOT NULL,
    tags text NOT NULL,              -- JSON
    headers text NOT NULL,           -- JSON
    args text NOT NULL               -- JSON
) WITH (autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE narrowboat.queued (
    ord bigint PRIMARY KEY,
    queued_at double precision NOT NULL,
    started_at double precision,     -- of the latest attempt, here and below
    lane integer NOT NULL,
    revision integer NOT NULL,
    errors integer NOT NULL,
    crashes integer NOT NULL,
    snoozes integer NOT NULL,
    rank smallint NOT NULL,          -- the priority, negated: lowest first
    queue text COLLATE "C" NOT NULL,
    client text COLLATE "C" NOT NULL,
    ran_by text NOT NULL,            -- who ran the latest attempt
    progress text                    -- JSON
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0,
        vacuum_truncate = off);
CREATE INDEX queued_lane ON narrowboat.queued (lane, rank, ord);
CREATE INDEX queued_client ON narrowboat.queued (queue, client) WHERE client <> '';

CREATE TABLE narrowboat.scheduled (
    ord bigint PRIMARY KEY,
    due_at double precision NOT NULL,
    started_at double precision,
    revision integer NOT NULL,
    errors integer NOT NULL,
    crashes integer NOT NULL,
    snoozes integer NOT NULL,
    queue text COLLATE "C" NOT NULL,
    client text COLLATE "C" NOT NULL,
    ran_by text NOT NULL,
    progress text
) WITH (autovacuum_vacuum_scale_factor = 0.05, vacuum_truncate = off);
CREATE INDEX scheduled_due ON narrowboat.scheduled (due_at, ord);
CREATE INDEX scheduled_queue ON narrowboat.scheduled (queue, due_at);
CREATE INDEX scheduled_client ON narrowboat.scheduled (queue, client) WHERE client <> '';

CREATE TABLE narrowboat.running (
    ord bigint PRIMARY KEY,
    token bigint NOT NULL,           -- of the claim, unique to it
    step bigint NOT NULL,            -- of the worker, which made the claim
    started_at double precision,     -- NULL while it is claimed and not begun
    worker integer NOT NULL,         -- who holds it: worker.n
    revision integer NOT NULL,
    errors integer NOT NULL,
    crashes integer NOT NULL,
    snoozes integer NOT NULL,
    id text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    ran_by text NOT NULL,            -- who runs the attempt: another one than `worker`, after a rescue
    progress text,
    cancel text                      -- the reason, once a cancel was asked for
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
CREATE UNIQUE INDEX running_worker ON narrowboat.running (worker, token);
CREATE INDEX running_cancelling ON narrowboat.running (worker) WHERE cancel IS NOT NULL;

CREATE TABLE narrowboat.done (
    ord bigint PRIMARY KEY,
    finished_at double precision NOT NULL,
    started_at double precision,
    revision integer NOT NULL,
    errors integer NOT NULL,
    crashes integer NOT NULL,
    snoozes integer NOT NULL,
    state text COLLATE "C" NOT NULL, -- succeeded, dead or cancelled
    queue text COLLATE "C" NOT NULL,
    ran_by text NOT NULL,
    progress text,
    reason text NOT NULL,
    result text                      -- JSON
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX done_ended ON narrowboat.done (queue, finished_at, ord) WHERE state IN ('succeeded', 'cancelled');
CREATE INDEX done_dead ON narrowboat.done (queue, finished_at, ord) WHERE state = 'dead';

CREATE TABLE narrowboat.attempt (
    ord bigint NOT NULL,
    nth integer NOT NULL,            -- order within the job; snoozes share a number with the try that follows
    number integer NOT NULL,
    started_at double precision NOT NULL,
    ended_at double precision NOT NULL,
    outcome text NOT NULL,
    worker text NOT NULL,
    error text,                      -- JSON
    logs text NOT NULL,              -- JSON
    PRIMARY KEY (ord, nth)
);

-- The latest job of each key. Whoever asks for a key locks its row.
CREATE TABLE narrowboat.key (
    task text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    ord bigint NOT NULL,
    PRIMARY KEY (task, key)
) WITH (fillfactor = 80);

-- How many jobs of each queue are in each state: the sum of all rows, each of which is what one transaction changed.
CREATE TABLE narrowboat.tally (
    scheduled bigint NOT NULL DEFAULT 0,
    queued bigint NOT NULL DEFAULT 0,
    running bigint NOT NULL DEFAULT 0,
    succeeded bigint NOT NULL DEFAULT 0,
    dead bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    queue text COLLATE "C" NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, vacuum_truncate = off);

CREATE TABLE narrowboat.gate (
    scope text COLLATE "C" PRIMARY KEY,
    kind text NOT NULL,
    reason text NOT NULL,
    until double precision,
    since double precision NOT NULL
);

CREATE TABLE narrowboat.worker (
    id text COLLATE "C" PRIMARY KEY,
    n integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    seq bigint NOT NULL DEFAULT 0,       -- the last step, and its answer without the claims
    cancels bigint NOT NULL DEFAULT 0,   -- asked for since it published
    seen_at double precision NOT NULL,
    lease_until double precision NOT NULL,
    lease_s double precision NOT NULL,
    more boolean NOT NULL DEFAULT false,
    refused text[] NOT NULL DEFAULT '{}',
    tasks text[] NOT NULL,
    info text NOT NULL                   -- JSON
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, vacuum_truncate = off);

CREATE TABLE narrowboat.spec (task text COLLATE "C" PRIMARY KEY, spec text NOT NULL, at double precision NOT NULL);

-- A job as lists show it.
CREATE VIEW narrowboat.summary AS
SELECT job.ord, job.id, job.task, job.queue, now.state, job.priority, now.revision, now.errors, now.crashes, now.snoozes,
       job.enqueued_at, now.due_at, now.started_at, now.finished_at, now.ran_by, job.key, job.summary, job.tags,
       now.progress, now.reason, now.cancelling, job.client
FROM narrowboat.job CROSS JOIN LATERAL (
    SELECT 'queued' AS state, revision, errors, crashes, snoozes, NULL::double precision AS due_at, started_at,
           NULL::double precision AS finished_at, ran_by, progress, '' AS reason, false AS cancelling
    FROM narrowboat.queued WHERE queued.ord = job.ord
    UNION ALL
    SELECT 'scheduled', revision, errors, crashes, snoozes, due_at, started_at, NULL, ran_by, progress, '', false
    FROM narrowboat.scheduled WHERE scheduled.ord = job.ord
    UNION ALL
    SELECT 'running', revision, errors, crashes, snoozes, NULL, started_at, NULL, ran_by, progress, '', cancel IS NOT NULL
    FROM narrowboat.running WHERE running.ord = job.ord
    UNION ALL
    SELECT state, revision, errors, crashes, snoozes, NULL, started_at, finished_at, ran_by, progress, reason, false
    FROM narrowboat.done WHERE done.ord = job.ord
) AS now;
