-- The first :n lanes of a line come back.
UPDATE lane SET held = NULL WHERE id IN (
    SELECT id FROM lane WHERE held = :scope AND priority IS NOT NULL AND shut = 0 AND known = 1 ORDER BY priority DESC, turn LIMIT :n)
