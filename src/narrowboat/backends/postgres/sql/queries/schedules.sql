-- What is remembered of schedules: (key, last, paused).
SELECT key, last, paused FROM narrowboat.schedule WHERE key = ANY (%(keys)s)
