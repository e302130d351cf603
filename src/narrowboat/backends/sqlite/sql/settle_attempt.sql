-- Write an attempt into the history.
INSERT INTO attempt (ord, nth, number, outcome, worker, started_at, ended_at, error, logs)
VALUES (?, (SELECT count(*) FROM attempt WHERE ord = ?), ?, ?, ?, ?, ?, ?, ?)
