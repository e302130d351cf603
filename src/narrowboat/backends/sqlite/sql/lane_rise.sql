-- Jobs of priority :priority have joined lane :lane; :turn is its place in line if it was empty.
UPDATE lane SET turn = CASE WHEN priority IS NULL THEN :turn ELSE turn END,
                priority = max(coalesce(priority, :priority), :priority)
WHERE id = :lane
