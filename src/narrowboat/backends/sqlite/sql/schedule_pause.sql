-- Let due times pass, or no longer.
INSERT INTO schedule (key, paused) VALUES (:key, :paused) ON CONFLICT (key) DO UPDATE SET paused = excluded.paused
