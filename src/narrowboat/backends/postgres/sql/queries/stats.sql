-- See functions/stats.sql.
SELECT coalesce(counts, '[]')::text, coalesce(oldest, '[]')::text, coalesce(unknown, '[]')::text, workers,
       coalesce(gates, '[]')::text
FROM narrowboat.stats(%(now)s)
