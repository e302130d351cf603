-- A new batch, unless it is there.
INSERT INTO batch (id, waits_for, created_at, changed_at, final, final_id, summary, kept)
VALUES (:id, :waits_for, :now, :now, :final, :final_id, :summary, :kept) ON CONFLICT (id) DO NOTHING
