-- Gates that open by themselves. Returns a row for each.
DELETE FROM gate WHERE until <= :now RETURNING scope
