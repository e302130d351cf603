-- From version 5 of the database to 6: batches; and lanes with a key that are made from now on go with their jobs.
CREATE INDEX job_keyed ON job (lane) WHERE lane < 0;
ALTER TABLE job ADD COLUMN batch TEXT;
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
