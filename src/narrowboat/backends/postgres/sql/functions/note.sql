-- note(worker, started, progress, at): of claims that the worker has: that they have begun, and how far they are. Both are
-- JSON arrays, see step, or NULL. How many a worker holds, the planner cannot know: it must not compare each with each.
CREATE OR REPLACE FUNCTION narrowboat.note(p_worker integer, p_started json, p_progress json, p_at double precision)
RETURNS void
LANGUAGE plpgsql SET enable_nestloop = off SET enable_hashjoin = on AS $$
BEGIN
    IF p_progress IS NOT NULL THEN
        UPDATE narrowboat.running AS r SET progress = p.progress, revision = r.revision + 1
        FROM json_to_recordset(p_progress) AS p (id text, token bigint, progress text)
        WHERE r.worker = p_worker AND r.token = p.token AND r.id = p.id;
    END IF;
    IF p_started IS NOT NULL THEN
        UPDATE narrowboat.running AS r SET started_at = p_at, revision = r.revision + 1
        FROM json_to_recordset(p_started) AS s (id text, token bigint)
        WHERE r.worker = p_worker AND r.token = s.token AND r.id = s.id AND r.started_at IS NULL;
    END IF;
END $$;
