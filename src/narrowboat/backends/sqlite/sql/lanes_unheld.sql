-- Nobody waits before this gate: lanes that are empty are not in its line, either.
UPDATE lane SET held = NULL WHERE held = :scope
