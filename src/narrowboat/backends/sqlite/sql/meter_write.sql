-- What a gate remembers from now on.
INSERT INTO meter (scope, memory, opens_at, is_open, idle_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (scope) DO UPDATE SET memory = excluded.memory, opens_at = excluded.opens_at, is_open = excluded.is_open,
                                  idle_at = excluded.idle_at
