-- Running jobs of :worker whose cancel was asked for.
SELECT id FROM job WHERE worker = :worker AND state = 'running' AND cancel IS NOT NULL
