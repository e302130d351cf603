-- The time.
SELECT narrowboat.clock(%(now)s)
