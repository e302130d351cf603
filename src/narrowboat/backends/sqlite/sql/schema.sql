-- The whole database. PRAGMA user_version is the version of this file.
-- A job is one row of `job`; which state it is in is one column, and each state that is searched has a partial
-- index of its own. What can be large stands apart, so that a change of state rewrites a short row.

CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('counter', 0);  -- gives turns of lanes and tokens of claims

CREATE TABLE lane (
    id INTEGER PRIMARY KEY,              -- below 0 where it has a key: it is dropped with the last record of its jobs
    queue TEXT NOT NULL,
    task TEXT NOT NULL,
    lane_key TEXT NOT NULL,
    priority INTEGER,                    -- of the job at its head; NULL when no job is queued
    turn INTEGER NOT NULL DEFAULT 0,     -- lanes of one priority are served by this, lowest first
    shut INTEGER NOT NULL DEFAULT 0,     -- a gate is shut
    known INTEGER NOT NULL DEFAULT 0,    -- a worker has published its task and not left
    held TEXT,                           -- the gate of a control that lets nothing through, in whose line it stands
    UNIQUE (queue, task, lane_key)
);
CREATE INDEX lane_open ON lane (queue, priority DESC, turn) WHERE priority IS NOT NULL AND shut = 0 AND known = 1 AND held IS NULL;
CREATE INDEX lane_held ON lane (held, priority DESC, turn) WHERE held IS NOT NULL;
CREATE INDEX lane_task ON lane (task) WHERE held IS NOT NULL;

CREATE TABLE job (
    ord INTEGER PRIMARY KEY,             -- order of arrival
    id TEXT NOT NULL UNIQUE,
    task TEXT NOT NULL,
    queue TEXT NOT NULL,
    lane INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 1,
    errors INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    snoozes INTEGER NOT NULL DEFAULT 0,
    enqueued_at REAL NOT NULL,
    queued_at REAL,
    due_at REAL,                         -- scheduled
    started_at REAL,                     -- of the latest attempt; NULL while it is claimed and not begun
    finished_at REAL,
    worker TEXT NOT NULL DEFAULT '',     -- who holds it
    ran_by TEXT NOT NULL DEFAULT '',     -- who ran the latest attempt: another one, after a rescue
    token INTEGER NOT NULL DEFAULT 0,    -- of the latest claim
    step INTEGER NOT NULL DEFAULT 0,     -- the worker's step that made the claim
    passed TEXT,                         -- gates that want to hear of its end, JSON; NULL for none
    cancel TEXT,                         -- the reason, once a cancel of a running job was asked for
    key TEXT,
    progress TEXT,
    reason TEXT NOT NULL DEFAULT '',
    summary TEXT NOT NULL DEFAULT '',
    tags TEXT NOT NULL DEFAULT '[]',
    client TEXT NOT NULL DEFAULT '',
    batch TEXT                           -- that counts it; NULL for none
);
CREATE INDEX job_queued ON job (lane, priority DESC, ord) WHERE state = 'queued';
CREATE INDEX job_scheduled ON job (due_at, queue) WHERE state = 'scheduled';
CREATE INDEX job_running ON job (worker, step, queue) WHERE state = 'running';
CREATE INDEX job_cancelling ON job (worker) WHERE state = 'running' AND cancel IS NOT NULL;
CREATE INDEX job_done ON job (queue, finished_at) WHERE state IN ('succeeded', 'cancelled');
CREATE INDEX job_dead ON job (queue, finished_at) WHERE state = 'dead';
CREATE INDEX job_keyed ON job (lane) WHERE lane < 0;
CREATE INDEX job_client ON job (queue, client) WHERE client <> '' AND state IN ('scheduled', 'queued');

-- How many jobs of each queue are in each state.
CREATE TABLE count (queue TEXT NOT NULL, state TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (queue, state)) WITHOUT ROWID;

CREATE TABLE payload (ord INTEGER PRIMARY KEY, args BLOB NOT NULL, headers TEXT NOT NULL, version INTEGER NOT NULL,
                      shape TEXT NOT NULL DEFAULT '');
CREATE TABLE result (ord INTEGER PRIMARY KEY, json BLOB NOT NULL);
CREATE TABLE attempt (
    ord INTEGER NOT NULL,
    nth INTEGER NOT NULL,                -- order within the job; snoozes share a number with the try that follows
    number INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    worker TEXT NOT NULL,
    started_at REAL NOT NULL,
    ended_at REAL NOT NULL,
    error TEXT,
    logs TEXT NOT NULL,
    PRIMARY KEY (ord, nth)
) WITHOUT ROWID;

CREATE TABLE key (task TEXT NOT NULL, key TEXT NOT NULL, ord INTEGER NOT NULL, PRIMARY KEY (task, key)) WITHOUT ROWID;
CREATE TABLE gate (scope TEXT PRIMARY KEY, kind TEXT NOT NULL, reason TEXT NOT NULL, until REAL, since REAL NOT NULL);

-- What a gate of a control remembers (core/controls.py). opens_at: when the line before it is to be looked after.
CREATE TABLE meter (scope TEXT PRIMARY KEY, memory TEXT NOT NULL, opens_at REAL, is_open INTEGER NOT NULL, idle_at REAL NOT NULL);
CREATE INDEX meter_due ON meter (opens_at) WHERE opens_at IS NOT NULL;
CREATE INDEX meter_open ON meter (scope) WHERE is_open = 1;
CREATE INDEX meter_idle ON meter (idle_at);
CREATE TABLE control (task TEXT PRIMARY KEY, controls TEXT NOT NULL) WITHOUT ROWID;

-- Of each schedule, the latest due time that was dealt with.
CREATE TABLE schedule (key TEXT PRIMARY KEY, last REAL NOT NULL DEFAULT 0, paused INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;

-- Batches: how their jobs stand, and the job that is written when they are finished (core/batch.py).
CREATE TABLE batch (
    nth INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    total INTEGER NOT NULL DEFAULT 0,
    succeeded INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    waits_for TEXT NOT NULL,             -- succeeded or ended
    sealed INTEGER NOT NULL DEFAULT 0,   -- all its jobs are written
    created_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    finished_at REAL,
    final TEXT,                          -- the final job, JSON
    final_id TEXT NOT NULL,
    summary TEXT NOT NULL,
    kept INTEGER NOT NULL                -- 0: its row goes as soon as it is finished
);
CREATE INDEX batch_changed ON batch (changed_at);
CREATE INDEX job_batch ON job (batch, ord) WHERE batch IS NOT NULL;

CREATE TABLE worker (
    id TEXT PRIMARY KEY,
    info TEXT NOT NULL,
    seen_at REAL NOT NULL,
    lease_until REAL NOT NULL,
    seq INTEGER NOT NULL DEFAULT 0,      -- the last step
    reply TEXT NOT NULL DEFAULT '{}',    -- and its answer without the claims, for a step that is sent again
    cancels INTEGER NOT NULL DEFAULT 0   -- asked for since it published
);
CREATE TABLE worker_task (worker TEXT NOT NULL, task TEXT NOT NULL, PRIMARY KEY (worker, task)) WITHOUT ROWID;
CREATE INDEX worker_task_task ON worker_task (task);
CREATE TABLE published (task TEXT PRIMARY KEY, spec TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;

-- A job as lists show it.
CREATE VIEW summary AS
SELECT job.ord, job.id, job.task, job.queue, state, job.priority, revision, errors, crashes, snoozes, enqueued_at,
       due_at, started_at, finished_at, ran_by, key, summary, tags, progress, reason, cancel IS NOT NULL AS cancelling,
       job.lane, client
FROM job;
