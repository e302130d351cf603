-- Which lanes are behind a gate that is shut.
UPDATE lane SET shut = EXISTS (SELECT 1 FROM gate WHERE scope IN ('queue:' || queue, 'task:' || task))
WHERE shut <> EXISTS (SELECT 1 FROM gate WHERE scope IN ('queue:' || queue, 'task:' || task))
