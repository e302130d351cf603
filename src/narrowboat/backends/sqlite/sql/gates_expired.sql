-- Whether a gate should have opened by itself.
SELECT EXISTS (SELECT 1 FROM gate WHERE until <= :now)
