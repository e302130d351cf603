-- The jobs of a queue that ended last and had begun, newest first: (task, started_at, finished_at, state).
-- At most `looked` records are looked at. Limits within limits, so that each index is read no further than needed.
SELECT job.task, last.started_at, last.finished_at, last.state FROM (
    SELECT * FROM (
        SELECT * FROM (
            SELECT ord, started_at, finished_at, state FROM narrowboat.done
            WHERE state IN ('succeeded', 'cancelled') AND queue = %(queue)s
            ORDER BY finished_at DESC, ord DESC LIMIT %(looked)s) AS looked
        WHERE started_at IS NOT NULL ORDER BY finished_at DESC, ord DESC LIMIT %(limit)s) AS good
    UNION ALL
    SELECT * FROM (
        SELECT ord, started_at, finished_at, state FROM narrowboat.done
        WHERE state = 'dead' AND queue = %(queue)s ORDER BY finished_at DESC, ord DESC LIMIT %(limit)s) AS bad
) AS last JOIN narrowboat.job ON job.ord = last.ord
ORDER BY last.finished_at DESC, last.ord DESC LIMIT %(limit)s
