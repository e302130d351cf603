-- A gate that is shut at :now: (kind, reason, until, since).
SELECT kind, reason, until, since FROM gate WHERE scope = :scope AND (until IS NULL OR until > :now)
