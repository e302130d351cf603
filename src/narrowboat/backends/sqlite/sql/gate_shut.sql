-- Shut a gate.
INSERT INTO gate (scope, kind, reason, until, since) VALUES (:scope, :kind, :reason, :until, :since)
ON CONFLICT (scope) DO UPDATE SET kind = excluded.kind, reason = excluded.reason, until = excluded.until,
                                  since = excluded.since
