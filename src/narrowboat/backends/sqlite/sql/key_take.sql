-- Make job :ord the latest of its key.
INSERT INTO key (task, key, ord) VALUES (:task, :key, :ord) ON CONFLICT (task, key) DO UPDATE SET ord = excluded.ord
