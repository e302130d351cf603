-- What a step needs of its worker: (seq, reply, cancels).
SELECT seq, reply, cancels FROM worker WHERE id = :worker
