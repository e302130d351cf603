-- Make a worker known, with a fresh lease.
INSERT INTO worker (id, info, seen_at, lease_until) VALUES (:id, :info, :now, :until)
ON CONFLICT (id) DO UPDATE SET info = excluded.info, seen_at = excluded.seen_at, lease_until = excluded.lease_until
