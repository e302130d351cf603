#!lua flags=allow-oom
-- Put a person's numbers in place of those that tasks declare.
-- ARGV: scope, the numbers as MessagePack, or "" to take them back

local gates = gates_at(clock(''))
gates.touch(ARGV[1]).override = ARGV[2] ~= '' and cmsgpack.unpack(ARGV[2]) or nil
gates.finish()
