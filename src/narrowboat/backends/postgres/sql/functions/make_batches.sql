-- make_batches(parts, now): batches that are not there yet. parts: a JSON array of objects, see messages.py.
CREATE OR REPLACE FUNCTION narrowboat.make_batches(p_parts json, p_now double precision) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO narrowboat.batch (id, created_at, changed_at, kept, waits_for, final_id, summary, final)
    SELECT p.id, at, at, p.kept, p.waits_for, p.final_id, p.summary, p.final
    FROM json_to_recordset(p_parts) AS p (id text, kept boolean, waits_for text, final_id text, summary text, final text),
         narrowboat.clock(p_now) AS at
    ORDER BY p.id
    ON CONFLICT (id) DO NOTHING
$$;
