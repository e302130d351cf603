-- Whole jobs, for :ids (JSON).
SELECT summary.*, payload.args, payload.headers, result.json, lane.lane_key, job.batch
FROM json_each(:ids) AS wanted CROSS JOIN summary ON summary.id = wanted.value
JOIN job ON job.ord = summary.ord JOIN payload ON payload.ord = summary.ord JOIN lane ON lane.id = summary.lane
LEFT JOIN result ON result.ord = summary.ord
