-- Draw :n numbers from the counter. Returns the last.
UPDATE meta SET value = value + :n WHERE name = 'counter' RETURNING value
