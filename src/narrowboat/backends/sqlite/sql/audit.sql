-- One sentence for each thing that is wrong.
SELECT 'job ' || id || ' has the unknown state ' || state FROM job
WHERE state NOT IN ('scheduled', 'queued', 'running', 'succeeded', 'dead', 'cancelled')
UNION ALL
SELECT 'job ' || id || ' is running, but its worker ' || worker || ' is not known' FROM job
WHERE state = 'running' AND worker NOT IN (SELECT id FROM worker)
UNION ALL
SELECT 'job ' || id || ' is ' || state || ' and has ' || CASE WHEN due_at IS NULL THEN 'no' ELSE 'a' END || ' due time' FROM job
WHERE (state = 'scheduled') <> (due_at IS NOT NULL)
UNION ALL
SELECT 'job ' || id || ' is ' || state || ' and has ' || CASE WHEN finished_at IS NULL THEN 'no' ELSE 'a' END || ' finish time'
FROM job WHERE (state IN ('succeeded', 'dead', 'cancelled')) <> (finished_at IS NOT NULL)
UNION ALL
SELECT 'lane ' || id || ' has a key, ' || lane_key || ', and no record of a job' FROM lane
WHERE id < 0 AND id NOT IN (SELECT lane FROM job)
UNION ALL
SELECT 'job ' || id || ' has no lane' FROM job WHERE lane NOT IN (SELECT id FROM lane)
UNION ALL
SELECT 'job ' || job.id || ' is not in the lane of its queue and task' FROM job JOIN lane ON lane.id = job.lane
WHERE lane.queue <> job.queue OR lane.task <> job.task
UNION ALL
SELECT 'job ' || id || ' has no payload' FROM job WHERE ord NOT IN (SELECT ord FROM payload)
UNION ALL
SELECT 'payload ' || ord || ' belongs to no job' FROM payload WHERE ord NOT IN (SELECT ord FROM job)
UNION ALL
SELECT 'result ' || ord || ' belongs to no job' FROM result WHERE ord NOT IN (SELECT ord FROM job)
UNION ALL
SELECT 'an attempt of job number ' || ord || ' belongs to no job' FROM attempt WHERE ord NOT IN (SELECT ord FROM job)
UNION ALL
SELECT 'key ' || task || ' ' || key || ' belongs to no job' FROM key WHERE ord NOT IN (SELECT ord FROM job)
UNION ALL
SELECT 'lane ' || id || ' says its head has priority ' || coalesce(priority, 'none') || ', which is not so' FROM lane
WHERE priority IS NOT (SELECT max(priority) FROM job WHERE job.lane = lane.id AND state = 'queued')
UNION ALL
SELECT 'lane ' || id || ' says that it is ' || CASE known WHEN 1 THEN 'known' ELSE 'unknown' END || ', which is not so' FROM lane
WHERE known <> EXISTS (SELECT 1 FROM worker_task WHERE worker_task.task = lane.task)
UNION ALL
SELECT 'lane ' || id || ' says that it is ' || CASE shut WHEN 1 THEN 'shut' ELSE 'open' END || ', which is not so' FROM lane
WHERE shut <> EXISTS (SELECT 1 FROM gate WHERE scope IN ('queue:' || queue, 'task:' || task))
UNION ALL
SELECT 'queue ' || queue || ' says that ' || n || ' of its jobs are ' || state || ', which is not so' FROM (
    SELECT queue, state, sum(n) AS n FROM (
        SELECT queue, state, n FROM count UNION ALL SELECT queue, state, -count(*) FROM job GROUP BY queue, state)
    GROUP BY queue, state)
WHERE n <> 0
UNION ALL
SELECT scope || ' counts ' || memory ->> 'running' || ' running jobs, which is not so' FROM meter
WHERE memory ->> 'running' <> (SELECT count(*) FROM job, json_each(job.passed) WHERE state = 'running' AND json_each.value = scope)
  AND scope LIKE 'limit:%'
UNION ALL
SELECT scope || ' waits for ' || memory ->> 'probe' || ', which does not run' FROM meter
WHERE memory ->> 'probe' NOT IN (SELECT id FROM job WHERE state = 'running') AND memory ->> 'probe' <> ''
UNION ALL
SELECT 'job ' || id || ' is ' || state || ' and has gone through ' || passed FROM job WHERE passed IS NOT NULL AND state <> 'running'
UNION ALL
SELECT 'lane ' || id || ' waits before ' || held || ', which nothing will open' FROM lane
WHERE priority IS NOT NULL AND held IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM meter WHERE scope = held AND (opens_at IS NOT NULL OR memory ->> 'running' > 0 OR memory ->> 'probe' <> ''
                                                OR memory ->> 'until' > 0))
UNION ALL
SELECT 'batch ' || batch.id || ' counts ' || batch.total || ', ' || batch.succeeded || ', ' || batch.dead || ', ' || batch.cancelled ||
       ', which its jobs do not' FROM batch
LEFT JOIN (SELECT job.batch AS id, sum(state = 'succeeded') AS succeeded, sum(state = 'dead') AS dead,
                  sum(state = 'cancelled') AS cancelled, sum(state IN ('scheduled', 'queued', 'running')) AS open
           FROM job WHERE job.batch IS NOT NULL GROUP BY job.batch) AS has ON has.id = batch.id
WHERE batch.succeeded < coalesce(has.succeeded, 0) OR batch.dead < coalesce(has.dead, 0)
   OR batch.cancelled < coalesce(has.cancelled, 0)
   OR batch.total - batch.succeeded - batch.dead - batch.cancelled <> coalesce(has.open, 0)
UNION ALL
SELECT 'batch ' || id || ' is to be finished, and is not' FROM batch
WHERE finished_at IS NULL AND sealed AND total = CASE waits_for WHEN 'ended' THEN succeeded + dead + cancelled ELSE succeeded END
