#!lua flags=no-writes
-- Jobs that have changed. ARGV: number of fields, those, [id, revision]...
-- Returns {id, the fields} for each job of a revision above the one given.

local n = tonumber(ARGV[1])
local rows = {}
for i = n + 2, #ARGV, 2 do
  local key = P .. 'job:' .. ARGV[i]
  local seen = call('HMGET', key, 'state', 'revision')
  if seen[1] and tonumber(seen[2] or 1) > tonumber(ARGV[i + 1]) then -- one that nothing happened to since has none
    rows[#rows + 1] = { ARGV[i], call('HMGET', key, unpack(ARGV, 2, n + 1)) }
  end
end
return rows
