-- A call of enqueue with :n jobs that do nothing, written by the same function as ours.
\set call :call + 1
SELECT * FROM narrowboat.enqueue(
    ARRAY['default'], ARRAY['benchmarks.boat_app.nothing'], ARRAY[''],
    (SELECT json_agg(json_build_object('lane', 1, 'id', format('benchmarks.boat_app.nothing:%s-%s-%s', (:n)::integer, (:call)::integer, i)))
     FROM generate_series(1, (:n)::integer) AS i),
    false, NULL, true
);
