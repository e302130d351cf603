-- A task that has no controls any more.
DELETE FROM control WHERE task = :task
