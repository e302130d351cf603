-- A worker's step as our courier makes it: settle all that it holds as succeeded, and claim :n more. What it holds is named
-- by the server itself, since pgbench reads no answers.
\set seq :seq + 1
SELECT * FROM narrowboat.step(
    'bare', (:seq)::bigint,
    (SELECT json_build_array(json_build_object('settled', json_agg(json_build_object('id', held.id, 'token', held.token))))
     FROM narrowboat.running AS held JOIN narrowboat.worker ON worker.n = held.worker WHERE worker.id = 'bare'
     HAVING count(*) > 0),
    NULL, NULL,
    json_build_array(json_build_object('queue', 'default', 'tasks', ARRAY['benchmarks.boat_app.nothing'], 'n', (:n)::integer,
                                       'room', 0)),
    (:n)::integer, NULL, NULL
);
