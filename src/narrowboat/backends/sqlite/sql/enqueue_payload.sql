-- What of a job can be large.
INSERT INTO payload (ord, args, headers, version, shape) VALUES (?, ?, ?, ?, ?)
