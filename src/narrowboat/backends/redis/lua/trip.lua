#!lua flags=allow-oom
-- Open a breaker by hand.
-- ARGV: now or "", scope, when it tries whether the service is back, or "" for when a person closes it; reason

local gates = gates_at(clock(ARGV[1]))
gates.trip(gates.touch(ARGV[2]), ARGV[4], tonumber(ARGV[3]) or NEVER)
gates.finish()
