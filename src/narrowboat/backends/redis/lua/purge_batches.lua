#!lua flags=allow-oom
-- Forget batches all of whose jobs have ended: finished ones, and others, unchanged for so long.
-- ARGV: place to begin at, most to look at, now or "", seconds for finished ones, seconds for others
-- Returns the place to go on at, or -1 at the end.

local at, most, now = tonumber(ARGV[1]), tonumber(ARGV[2]), clock(ARGV[3])
local ids = call('ZRANGE', P .. 'batches', at, at + most - 1)
local gone = 0
for _, id in ipairs(ids) do
  -- stylua: ignore
  local batch = call('HMGET', P .. 'batch:' .. id, 'total', 'succeeded', 'dead', 'cancelled', 'changed_at', 'finished_at')
  local ended = tonumber(batch[2]) + tonumber(batch[3]) + tonumber(batch[4])
  if ended >= tonumber(batch[1]) and tonumber(batch[5]) + tonumber(ARGV[batch[6] and 4 or 5]) <= now then
    forget_batch(id)
    gone = gone + 1
  end
end
return #ids < most and -1 or at + most - gone
