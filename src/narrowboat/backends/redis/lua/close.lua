#!lua flags=allow-oom
-- Close a breaker by hand. ARGV: now or "", scope
-- Returns 1, or 0 if it was closed.

local gates = gates_at(clock(ARGV[1]))
local was_open = gates.close(gates.touch(ARGV[2]))
gates.finish()
return was_open and 1 or 0
