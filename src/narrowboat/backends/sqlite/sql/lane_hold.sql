-- A lane joins the line before a gate.
UPDATE lane SET held = :scope WHERE id = :lane
