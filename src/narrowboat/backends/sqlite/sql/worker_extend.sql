-- Renew a lease.
UPDATE worker SET lease_until = :until, seen_at = :now WHERE id = :worker
