-- How many queued jobs of its lane stand before a job; NULL when it is not queued.
SELECT CASE WHEN mine.state = 'queued' THEN (
    SELECT count(*) FROM job WHERE lane = mine.lane AND state = 'queued'
      AND (priority > mine.priority OR (priority = mine.priority AND ord < mine.ord))) END
FROM job AS mine WHERE mine.id = :id
