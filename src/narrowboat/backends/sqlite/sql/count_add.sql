-- So many more jobs of a queue are in a state, or fewer.
INSERT INTO count (queue, state, n) VALUES (?, ?, ?) ON CONFLICT (queue, state) DO UPDATE SET n = n + excluded.n
