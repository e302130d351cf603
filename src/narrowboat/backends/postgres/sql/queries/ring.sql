-- Tell sleepers of other processes. It need not be on the disk when it counts.
SELECT pg_notify(%(channel)s, bell), set_config('synchronous_commit', 'off', true) FROM unnest(%(bells)s::text[]) AS bell
