-- The lanes of a task leave the lines that they are in.
UPDATE lane SET held = NULL WHERE task = :task AND held IS NOT NULL
