-- What a gate remembers: (JSON, when its line is to be looked after).
SELECT memory, opens_at FROM meter WHERE scope = :scope
