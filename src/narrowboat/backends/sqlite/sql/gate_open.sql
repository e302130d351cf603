-- Open a gate. Returns a row if it was shut.
DELETE FROM gate WHERE scope = :scope RETURNING scope
