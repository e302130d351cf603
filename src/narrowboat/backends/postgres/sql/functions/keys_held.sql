-- keys_held(tasks, jobs, at, of): lock the keys that jobs ask for, and say which jobs are not to be written: their places
-- (from 1) and, for each, the id of the job that is there instead. Of the jobs that ask for one key, the first is written
-- whose id is new and whose key is free, by its own key_for. Keys are locked in order, so that callers cannot block one
-- another for good. `tasks` are those of the lanes that jobs name by number; `of`: see write_jobs.
CREATE OR REPLACE FUNCTION narrowboat.keys_held(
    p_tasks text[], p_jobs json, p_at double precision, p_of bigint[], OUT passed integer[], OUT there text[]
)
LANGUAGE plpgsql AS $$
DECLARE
    tasks text[];
    keys text[];
BEGIN
    SELECT array_agg(task ORDER BY task, key), array_agg(key ORDER BY task, key) INTO tasks, keys
    FROM (SELECT DISTINCT p_tasks[j.lane] COLLATE "C" AS task, j.key COLLATE "C" AS key
          FROM json_to_recordset(p_jobs) AS j (lane integer, key text, of bigint)
          WHERE j.key IS NOT NULL AND (p_of IS NULL OR j.of = ANY (p_of))) AS asked;
    LOOP
        INSERT INTO narrowboat.key (task, key, ord) SELECT u.task, u.key, 0 FROM unnest(tasks, keys) AS u (task, key)
        ON CONFLICT DO NOTHING;
        PERFORM FROM narrowboat.key AS k JOIN unnest(tasks, keys) AS u (task, key) ON k.task = u.task AND k.key = u.key
        ORDER BY k.task, k.key FOR NO KEY UPDATE OF k;
        EXIT WHEN (SELECT count(*) FROM narrowboat.key AS k JOIN unnest(tasks, keys) AS u (task, key)
                   ON k.task = u.task AND k.key = u.key) = coalesce(cardinality(keys), 0);  -- a purge deletes them
    END LOOP;
    WITH asked AS (
        SELECT j.n::integer AS n, j.id, p_tasks[j.lane] AS task, j.key, j.key_for
        FROM ROWS FROM (json_to_recordset(p_jobs) AS (lane integer, id text, key text, key_for text, of bigint))
             WITH ORDINALITY AS j (lane, id, key, key_for, of, n)
        WHERE j.key IS NOT NULL AND (p_of IS NULL OR j.of = ANY (p_of))
    ), judged AS (
        SELECT asked.n, asked.id, asked.task, asked.key, holder.id AS holder, known.ord IS NOT NULL AS is_known,
               CASE WHEN holder.state IN ('queued', 'scheduled') THEN true
                    WHEN holder.state = 'running' THEN asked.key_for <> 'waiting'
                    WHEN holder.state = 'succeeded' AND asked.key_for NOT IN ('waiting', 'active')
                    THEN p_at < holder.finished_at + asked.key_for::double precision
                    ELSE false END AS is_held
        FROM asked JOIN narrowboat.key AS k ON k.task = asked.task AND k.key = asked.key
        LEFT JOIN narrowboat.job AS known ON known.id = asked.id
        LEFT JOIN narrowboat.summary AS holder ON holder.ord = k.ord
    ), won AS (
        SELECT DISTINCT ON (task, key) task, key, n, id FROM judged WHERE NOT is_known AND NOT is_held
        ORDER BY task, key, n
    )
    SELECT array_agg(judged.n ORDER BY judged.n),
           array_agg(CASE WHEN judged.is_known THEN judged.id
                          WHEN judged.n > won.n THEN won.id
                          ELSE judged.holder END ORDER BY judged.n)
    INTO passed, there
    FROM judged LEFT JOIN won ON won.task = judged.task AND won.key = judged.key
    WHERE won.n IS DISTINCT FROM judged.n;
END $$;
