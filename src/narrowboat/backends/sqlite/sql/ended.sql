-- The :limit jobs of :queue that ended last and had begun, newest first: (task, started_at, finished_at, state).
-- At most :looked records are looked at. Limits within limits, so that each index is read no further than needed.
SELECT task, started_at, finished_at, state FROM (
    SELECT * FROM (
        SELECT * FROM (SELECT ord, task, started_at, finished_at, state FROM job
                       WHERE state IN ('succeeded', 'cancelled') AND queue = :queue
                       ORDER BY finished_at DESC, ord DESC LIMIT :looked)
        WHERE started_at IS NOT NULL LIMIT :limit)
    UNION ALL
    SELECT * FROM (SELECT ord, task, started_at, finished_at, state FROM job WHERE state = 'dead' AND queue = :queue
                   ORDER BY finished_at DESC, ord DESC LIMIT :limit))
ORDER BY finished_at DESC, ord DESC LIMIT :limit
