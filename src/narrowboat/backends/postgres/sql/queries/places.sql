-- How many stand before each queued job of ids in its lane, up to `most`: (id, place).
WITH mine AS (
    SELECT job.id, queued.ord, queued.lane
    FROM narrowboat.job JOIN narrowboat.queued ON queued.ord = job.ord WHERE job.id = ANY (%(ids)s)
), front AS (
    SELECT first.ord, first.place
    FROM (SELECT DISTINCT lane FROM mine) AS lanes
    CROSS JOIN LATERAL (
        SELECT ord, row_number() OVER (ORDER BY rank, ord) - 1 AS place
        FROM (SELECT ord, rank FROM narrowboat.queued WHERE lane = lanes.lane ORDER BY rank, ord LIMIT %(most)s) AS best
    ) AS first
)
SELECT mine.id, coalesce(front.place, %(most)s)::integer FROM mine LEFT JOIN front ON front.ord = mine.ord
