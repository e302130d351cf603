-- What is remembered of the schedules in :keys (JSON): (key, last, paused).
SELECT key, last, paused FROM schedule WHERE key IN (SELECT value FROM json_each(:keys))
