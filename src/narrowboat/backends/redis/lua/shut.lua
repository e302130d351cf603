#!lua flags=allow-oom
-- Shut a gate everywhere; the same scope again replaces it.
-- ARGV: scope, gate as JSON

call('HSET', P .. 'gates', ARGV[1], ARGV[2])
reopen_scope(ARGV[1])
