#!lua flags=no-writes
-- The jobs of a queue that ended last and had begun, newest first.
-- ARGV: queue, most, most to look at of each kind
-- Returns {id, task or false, started_at, finished_at, state, order} for each; some more than asked for, in no order, where
-- jobs ended together.

local rows, most = {}, tonumber(ARGV[2])
for _, kind in ipairs({ 'done:', 'dead:' }) do
  local key, found, at, last = P .. kind .. ARGV[1], 0, 0, nil
  while at < tonumber(ARGV[3]) do
    local part = call('ZRANGE', key, at, at + 99, 'REV', 'WITHSCORES')
    for i = 1, #part, 2 do
      if found >= most and part[i + 1] ~= last then
        at = math.huge
        break
      end
      local job = call('HMGET', P .. 'job:' .. part[i], 'task', 'started_at', 'finished_at', 'state')
      if job[2] then
        found, last = found + 1, part[i + 1]
        rows[#rows + 1] = { part[i], job[1], job[2], job[3], job[4], call('ZSCORE', P .. 'jobs', part[i]) }
      end
    end
    if #part < 200 then
      break
    end
    at = at + 100
  end
end
return rows
