-- The gates whose line is to be looked after, at most :n, those first whose time came first.
SELECT scope FROM meter WHERE opens_at <= :now ORDER BY opens_at LIMIT :n
