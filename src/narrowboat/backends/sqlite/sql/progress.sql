-- How far a running attempt is.
UPDATE job SET progress = ?, revision = revision + 1 WHERE ord = ?
