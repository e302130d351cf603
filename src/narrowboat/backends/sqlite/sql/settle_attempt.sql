-- Write an attempt into the history.
INSERT INTO attempt (ord, nth, number, outcome, worker, started_at, ended_at, error, logs)
VALUES (?1, (SELECT count(*) FROM attempt WHERE ord = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8)
