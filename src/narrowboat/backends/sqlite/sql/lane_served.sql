-- Lane :lane has had its turn: its head again, and :turn as its place in line. Returns the priority of its head.
UPDATE lane SET turn = :turn,
                priority = (SELECT priority FROM job WHERE lane = :lane AND state = 'queued'
                            ORDER BY priority DESC, ord LIMIT 1)
WHERE id = :lane
RETURNING priority
