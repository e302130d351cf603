-- Deal with a due time, unless this or a later one was. Returns a row if it was not.
INSERT INTO schedule (key, last) VALUES (:key, :due)
ON CONFLICT (key) DO UPDATE SET last = excluded.last WHERE last < excluded.last
RETURNING key
