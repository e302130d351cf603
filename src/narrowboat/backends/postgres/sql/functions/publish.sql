-- publish(worker, info, lease_s, tasks, specs, now): make a worker and its tasks known, with a fresh lease.
CREATE OR REPLACE FUNCTION narrowboat.publish(
    p_worker text, p_info text, p_lease_s double precision, p_tasks text[], p_specs text[], p_now double precision
) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '4s' AS $$
DECLARE
    at double precision := narrowboat.clock(p_now);
BEGIN
    INSERT INTO narrowboat.worker AS w (id, seen_at, lease_until, lease_s, tasks, info)
    VALUES (p_worker, at, at + p_lease_s, p_lease_s, p_tasks, p_info)
    ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, lease_until = excluded.lease_until,
        lease_s = excluded.lease_s, tasks = excluded.tasks, info = excluded.info;
    INSERT INTO narrowboat.spec AS s (task, spec, at)
    SELECT u.task, u.spec, at FROM unnest(p_tasks, p_specs) AS u (task, spec) ORDER BY u.task COLLATE "C"
    ON CONFLICT (task) DO UPDATE SET spec = excluded.spec, at = excluded.at;
END $$;
