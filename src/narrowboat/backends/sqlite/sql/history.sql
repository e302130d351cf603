-- Attempts that are over, of jobs in :ords (JSON).
SELECT ord, number, outcome, worker, started_at, ended_at, error, logs FROM attempt
WHERE ord IN (SELECT value FROM json_each(:ords)) ORDER BY ord, nth
