-- One sentence for each thing that is wrong.
WITH state AS (
    SELECT ord, 'queued' AS state, queue FROM narrowboat.queued
    UNION ALL SELECT ord, 'scheduled', queue FROM narrowboat.scheduled
    UNION ALL SELECT ord, 'running', queue FROM narrowboat.running
    UNION ALL SELECT ord, state, queue FROM narrowboat.done
)
SELECT 'job ' || id || ' is ' || coalesce(string_agg(state.state, ' and ' ORDER BY state.state), 'in no state')
FROM narrowboat.job LEFT JOIN state USING (ord) GROUP BY job.ord, job.id HAVING count(state.state) <> 1
UNION ALL
SELECT 'job number ' || ord || ' is ' || state || ', and is not there' FROM state
WHERE NOT EXISTS (SELECT FROM narrowboat.job WHERE job.ord = state.ord)
UNION ALL
SELECT 'job ' || job.id || ' is ' || state || ' in the queue ' || state.queue || ', and says ' || job.queue
FROM narrowboat.job JOIN state USING (ord) WHERE job.queue <> state.queue
UNION ALL
SELECT 'job ' || job.id || ' is not in the lane of its queue and task' FROM narrowboat.job
LEFT JOIN narrowboat.lane ON lane.id = job.lane
WHERE (lane.queue, lane.task) IS DISTINCT FROM (job.queue, job.task)
UNION ALL
SELECT 'job ' || job.id || ' stands in line by another lane or priority than its own'
FROM narrowboat.job JOIN narrowboat.queued USING (ord) WHERE (queued.lane, queued.rank) <> (job.lane, -job.priority)
UNION ALL
SELECT 'job ' || id || ' is running, but its worker number ' || worker || ' is not known' FROM narrowboat.running
WHERE worker NOT IN (SELECT n FROM narrowboat.worker)
UNION ALL
SELECT 'job number ' || ord || ' is done, as ' || state FROM narrowboat.done
WHERE state NOT IN ('succeeded', 'dead', 'cancelled')
UNION ALL
SELECT 'lane ' || lane.id || ' has jobs of rank ' || best.rank || ', and says ' || coalesce(lane.rank::text, 'none')
FROM narrowboat.lane JOIN (SELECT lane, min(rank) AS rank FROM narrowboat.queued GROUP BY lane) AS best ON best.lane = lane.id
WHERE best.rank < coalesce(least(lane.rank, (SELECT min(rank) FROM narrowboat.opening WHERE opening.lane = lane.id)), 999)
UNION ALL
SELECT 'an attempt of job number ' || ord || ' belongs to no job' FROM narrowboat.attempt
WHERE NOT EXISTS (SELECT FROM narrowboat.job WHERE job.ord = attempt.ord)
UNION ALL
SELECT 'the key ' || key || ' of ' || task || ' belongs to no job' FROM narrowboat.key
WHERE NOT EXISTS (SELECT FROM narrowboat.job WHERE job.ord = key.ord AND (job.task, job.key) = (key.task, key.key))
UNION ALL
SELECT 'the queue ' || queue || ' is said to have ' || said.n || ' jobs ' || said.state || ', and has ' || coalesce(has.n, 0)
FROM (
    SELECT queue, unnest(ARRAY['scheduled', 'queued', 'running', 'succeeded', 'dead', 'cancelled']) AS state,
           unnest(ARRAY[sum(scheduled), sum(queued), sum(running), sum(succeeded), sum(dead), sum(cancelled)]) AS n
    FROM narrowboat.tally GROUP BY queue
) AS said FULL JOIN (SELECT queue, state, count(*) AS n FROM state GROUP BY queue, state) AS has USING (queue, state)
WHERE coalesce(said.n, 0) <> coalesce(has.n, 0)
UNION ALL
SELECT scope || ' counts ' || meter.running || ' running jobs, and ' || coalesce(has.n, 0) || ' have gone through it'
FROM (SELECT scope, count(*) AS n FROM narrowboat.running CROSS JOIN LATERAL unnest(passed) AS scope GROUP BY scope) AS has
FULL JOIN narrowboat.meter USING (scope)
WHERE scope LIKE 'limit:%%' AND coalesce(meter.running, 0) <> coalesce(has.n, 0)
UNION ALL
SELECT scope || ' waits for ' || probe || ', which does not run' FROM narrowboat.meter
WHERE probe <> '' AND probe NOT IN (SELECT id FROM narrowboat.running)
UNION ALL
SELECT 'lane ' || lane.id || ' waits before ' || lane.held || ', which nothing will open' FROM narrowboat.lane
WHERE lane.held IS NOT NULL AND EXISTS (SELECT FROM narrowboat.queued WHERE queued.lane = lane.id) AND NOT EXISTS (
    SELECT FROM narrowboat.meter WHERE scope = lane.held AND (opens_at IS NOT NULL OR running > 0 OR until <> 0))
UNION ALL
SELECT 'batch ' || batch.id || ' counts ' || concat_ws(', ', batch.total, batch.succeeded, batch.dead, batch.cancelled)
       || ', which its jobs do not'
FROM narrowboat.batch LEFT JOIN (
    SELECT job.batch AS id, count(*) FILTER (WHERE state = 'succeeded') AS succeeded, count(*) FILTER (WHERE state = 'dead') AS dead,
           count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
           count(*) FILTER (WHERE state IN ('scheduled', 'queued', 'running')) AS open
    FROM narrowboat.job JOIN state USING (ord) WHERE job.batch IS NOT NULL GROUP BY job.batch) AS has ON has.id = batch.id
WHERE batch.succeeded < coalesce(has.succeeded, 0) OR batch.dead < coalesce(has.dead, 0)
   OR batch.cancelled < coalesce(has.cancelled, 0)
   OR batch.total - batch.succeeded - batch.dead - batch.cancelled <> coalesce(has.open, 0)
UNION ALL
SELECT 'batch ' || id || ' is to be finished, and is not' FROM narrowboat.batch
WHERE finished_at IS NULL AND sealed
  AND total = succeeded + CASE WHEN waits_for = 'ended' THEN dead + cancelled ELSE 0 END
