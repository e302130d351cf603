-- Change the arguments of a job.
UPDATE payload SET args = :args WHERE ord = :ord
