-- end_claims(worker, settled): end those of these claims that the worker has, see settle; what was known of each job, and
-- what is to become of it. How many a worker holds, the planner cannot know: it must not compare each with each.
CREATE OR REPLACE FUNCTION narrowboat.end_claims(p_worker integer, p_settled json) RETURNS TABLE (
    ord bigint, token bigint, queue text, ran_by text, revision integer, errors integer, crashes integer, snoozes integer,
    progress text, cancel text, started_at double precision, batch text, "to" text, outcome text, delay double precision,
    result text, error text, reason text, ago double precision, logs text
)
LANGUAGE plpgsql SET enable_nestloop = off SET enable_hashjoin = on AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    DELETE FROM narrowboat.running AS r
    USING json_to_recordset(p_settled) AS s (
        id text, token bigint, "to" text, outcome text, delay double precision, result text, error text, reason text,
        ago double precision, logs text)
    WHERE r.worker = p_worker AND r.token = s.token AND r.id = s.id
    RETURNING r.ord, r.token, r.queue, r.ran_by, r.revision, r.errors, r.crashes, r.snoozes, r.progress, r.cancel,
              r.started_at, r.batch, coalesce(s.to, 'succeeded'), coalesce(s.outcome, 'succeeded'), coalesce(s.delay, 0),
              s.result, s.error, coalesce(s.reason, ''), coalesce(s.ago, 0), s.logs;
END $$;
