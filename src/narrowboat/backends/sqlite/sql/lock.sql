-- Changes nothing, and has the lock for writing afterwards.
UPDATE meta SET value = value WHERE 0
