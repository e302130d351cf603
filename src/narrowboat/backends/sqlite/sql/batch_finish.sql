-- A batch is finished.
UPDATE batch SET finished_at = :now WHERE id = :id
