-- Version 6: a limit costs a step little, a cancel tells of what it brings, breakers are forgotten. Safe for workers of versions from: 1
-- Functions that tell something else now have other names. `cancel`, `heed` and `lock_gates` stay, for programs of the
-- version before, and for steps that are under way.

-- When a gate can be forgotten, see `idle_at` in core/controls.py; NULL: not as things are.
DROP INDEX narrowboat.meter_idle;
ALTER TABLE narrowboat.meter ADD COLUMN idle_at double precision GENERATED ALWAYS AS (
    CASE WHEN running = 0 AND until = 0 AND override IS NULL THEN
        greatest(full_at, failures[cardinality(failures)] + 2592000, history_at[cardinality(history_at)] + 2592000)
    END) STORED;
CREATE INDEX meter_idle ON narrowboat.meter (idle_at) WHERE opens_at IS NULL AND idle_at IS NOT NULL;
