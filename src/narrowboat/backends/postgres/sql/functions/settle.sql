-- settle(worker, settled, at): end claims of the worker with this number, in one statement. settled: a JSON array of
-- objects, see messages.py, in which no token is twice. Returns the tokens that were really ended, the ids that were
-- refused, lanes and ranks of jobs that are queued again, and of each job of a batch that is in a final
-- state that batch and that state.
CREATE OR REPLACE FUNCTION narrowboat.settle(
    p_worker integer, p_settled json, p_at double precision,
    OUT ended bigint[], OUT refused text[], OUT lanes integer[], OUT ranks smallint[], OUT batches text[], OUT states text[]
)
LANGUAGE plpgsql AS $$
BEGIN
    WITH gone AS MATERIALIZED (
        SELECT * FROM narrowboat.end_claims(p_worker, p_settled)
    ), moved AS MATERIALIZED (
        SELECT ord, token, queue, batch, ran_by, revision + 1 AS revision, outcome, delay, error, logs,
               errors + (outcome = 'failed')::integer AS errors, crashes + (outcome = 'crashed')::integer AS crashes,
               snoozes + (outcome = 'snoozed')::integer AS snoozes, errors + crashes + 1 AS number,
               CASE WHEN cancel IS NULL OR gone.to IN ('succeeded', 'dead') THEN gone.to ELSE 'cancelled' END AS state,
               CASE WHEN outcome = 'released' THEN NULL ELSE coalesce(started_at, p_at - ago) END AS started_at,
               CASE WHEN outcome = 'released' THEN NULL ELSE progress END AS progress,
               CASE WHEN cancel IS NULL OR gone.to IN ('succeeded', 'dead') THEN reason
                    WHEN outcome = 'released' THEN cancel
                    ELSE coalesce(nullif(cancel, ''), reason) END AS reason,
               CASE WHEN gone.to = 'succeeded' THEN result END AS result
        FROM gone
    ), done AS (
        INSERT INTO narrowboat.done (ord, finished_at, started_at, revision, errors, crashes, snoozes, state, queue,
                                     ran_by, progress, reason, result)
        SELECT ord, p_at, started_at, revision, errors, crashes, snoozes, state, queue, ran_by, progress, reason, result
        FROM moved WHERE state IN ('succeeded', 'dead', 'cancelled')
    ), later AS (
        INSERT INTO narrowboat.scheduled (ord, due_at, started_at, revision, errors, crashes, snoozes, queue, client,
                                          ran_by, progress)
        SELECT m.ord, p_at + m.delay, m.started_at, m.revision, m.errors, m.crashes, m.snoozes, m.queue, job.client,
               m.ran_by, m.progress
        FROM moved AS m JOIN narrowboat.job ON job.ord = m.ord WHERE m.state = 'scheduled'
    ), ready AS (
        INSERT INTO narrowboat.queued (ord, queued_at, started_at, lane, revision, errors, crashes, snoozes, rank, queue,
                                       client, ran_by, progress)
        SELECT m.ord, p_at, m.started_at, job.lane, m.revision, m.errors, m.crashes, m.snoozes, -job.priority, m.queue,
               job.client, m.ran_by, m.progress
        FROM moved AS m JOIN narrowboat.job ON job.ord = m.ord WHERE m.state = 'queued'
        RETURNING lane, rank
    ), tried AS (
        INSERT INTO narrowboat.attempt (ord, nth, number, started_at, ended_at, outcome, worker, error, logs)
        SELECT ord, (SELECT count(*) FROM narrowboat.attempt AS earlier WHERE earlier.ord = m.ord), number, started_at,
               p_at, outcome, ran_by, error, coalesce(logs, '[]')
        FROM moved AS m WHERE outcome <> 'released' AND (outcome <> 'succeeded' OR logs IS NOT NULL)
    ), counted AS (
        INSERT INTO narrowboat.tally (queue, running, scheduled, queued, succeeded, dead, cancelled)
        SELECT queue, -count(*), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'queued'),
               count(*) FILTER (WHERE state = 'succeeded'), count(*) FILTER (WHERE state = 'dead'),
               count(*) FILTER (WHERE state = 'cancelled')
        FROM moved GROUP BY queue
    )
    SELECT (SELECT array_agg(token) FROM moved), (SELECT array_agg(lane) FROM ready), (SELECT array_agg(rank) FROM ready),
           (SELECT array_agg(batch ORDER BY token) FROM moved WHERE batch IS NOT NULL AND state NOT IN ('scheduled', 'queued')),
           (SELECT array_agg(state ORDER BY token) FROM moved WHERE batch IS NOT NULL AND state NOT IN ('scheduled', 'queued'))
    INTO ended, lanes, ranks, batches, states;
    IF coalesce(cardinality(ended), 0) < json_array_length(p_settled) THEN
        SELECT array_agg(s.id) INTO refused FROM json_to_recordset(p_settled) AS s (id text, token bigint)
        WHERE ended IS NULL OR s.token <> ALL (ended);
    END IF;
END $$;
