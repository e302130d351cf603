-- Let due times pass, or no longer.
INSERT INTO narrowboat.schedule (key, paused) VALUES (%(key)s, %(is_paused)s)
ON CONFLICT (key) DO UPDATE SET paused = excluded.paused
RETURNING key
