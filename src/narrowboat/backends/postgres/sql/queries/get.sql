-- Whole jobs, for ids: what `summary` has, then args, headers, result, lane_key, batch, and the attempts that are over as JSON,
-- [[number, outcome, worker, started_at, ended_at, error, logs], ...].
SELECT summary.*, job.args, job.headers, done.result, lane.lane_key, job.batch,
       (SELECT json_agg(json_build_array(number, outcome, worker, a.started_at, ended_at, error, logs) ORDER BY nth)::text
        FROM narrowboat.attempt AS a WHERE a.ord = summary.ord)
FROM narrowboat.summary JOIN narrowboat.job ON job.ord = summary.ord JOIN narrowboat.lane ON lane.id = job.lane
LEFT JOIN narrowboat.done ON done.ord = summary.ord
WHERE summary.id = ANY (%(ids)s)
