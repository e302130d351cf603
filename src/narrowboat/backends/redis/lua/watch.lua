#!lua flags=no-writes
-- Jobs that have changed. ARGV: number of fields, those, [id, revision]...
-- Returns {id, the fields} for each job of a revision above the one given.

local n = tonumber(ARGV[1])
local rows = {}
for i = n + 2, #ARGV, 2 do
  local key = P .. 'job:' .. ARGV[i]
  local seen = call('HMGET', key, 'revision', 'order')
  if tonumber(seen[1] or seen[2] or 0) > tonumber(ARGV[i + 1]) then
    rows[#rows + 1] = { ARGV[i], call('HMGET', key, unpack(ARGV, 2, n + 1)) }
  end
end
return rows
