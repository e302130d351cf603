#!lua flags=allow-oom
-- Open a gate. ARGV: now or "", scope
-- Returns 1, or 0 if it was open.

open_expired(clock(ARGV[1]))
local was_shut = call('HDEL', P .. 'gates', ARGV[2])
reopen_scope(ARGV[2])
return was_shut
