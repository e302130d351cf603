-- Breakers that are open: (scope, memory).
SELECT scope, memory FROM meter WHERE is_open = 1 ORDER BY scope
