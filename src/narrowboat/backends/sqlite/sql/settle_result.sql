-- Keep a result.
INSERT INTO result (ord, json) VALUES (?, ?) ON CONFLICT (ord) DO UPDATE SET json = excluded.json
