-- What gates of controls remember, for scopes.
SELECT scope, full_at, running, until, since, probe, reason, failures, history_at, history, override
FROM narrowboat.meter WHERE scope = ANY (%(scopes)s)
