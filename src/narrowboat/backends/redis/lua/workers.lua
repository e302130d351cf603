#!lua flags=no-writes
-- The workers that have published and not left. No ARGV.
-- Returns {worker, lease until, info as JSON, tasks, seen_at, number of running jobs} for each.

local rows = {}
local workers = call('ZRANGE', P .. 'workers', 0, 9999, 'WITHSCORES')
for i = 1, #workers, 2 do
  local worker = call('HMGET', P .. 'worker:' .. workers[i], 'info', 'tasks', 'seen_at')
  -- stylua: ignore
  rows[#rows + 1] = { workers[i], workers[i + 1], worker[1], worker[2], worker[3], call('HLEN', P .. 'running:' .. workers[i]) }
end
return rows
