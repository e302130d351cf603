-- Look up the head of lane :lane again; :turn is its place in line if it was empty.
UPDATE lane SET turn = CASE WHEN priority IS NULL THEN :turn ELSE turn END,
                priority = (SELECT priority FROM job WHERE lane = :lane AND state = 'queued'
                            ORDER BY priority DESC, ord LIMIT 1)
WHERE id = :lane
