-- Lane :lane has had its turn: its head again, and :turn as its place in line.
UPDATE lane SET turn = :turn,
                priority = (SELECT priority FROM job WHERE lane = :lane AND state = 'queued'
                            ORDER BY priority DESC, ord LIMIT 1)
WHERE id = :lane
