-- Deal with a due time, unless this or a later one was, or it is not due. A row if it is dealt with now.
INSERT INTO narrowboat.schedule AS known (key, last)
SELECT %(key)s, %(due)s WHERE %(due)s <= narrowboat.clock(%(now)s)
ON CONFLICT (key) DO UPDATE SET last = excluded.last WHERE known.last < excluded.last
RETURNING known.key
