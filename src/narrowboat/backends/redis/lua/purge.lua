#!lua flags=allow-oom
-- Delete finished records past their retention, of one queue and kind, oldest first.
-- ARGV: now or "", "done" or "dead", queue, seconds that they are kept, how many are kept, most to delete now
-- Returns how many were deleted.

local kind, queue, keep_max, most = ARGV[2], ARGV[3], tonumber(ARGV[5]), tonumber(ARGV[6])
local key = P .. kind .. ':' .. queue
local surplus = call('ZCARD', key) - keep_max
local expired = call('ZCOUNT', key, '-inf', text_of(clock(ARGV[1]) - tonumber(ARGV[4])))
local n = math.min(math.max(surplus, expired), most)
if n <= 0 then
  return 0
end

-- Of those that ended together, the ones that were enqueued first.
local oldest = call('ZRANGE', key, 0, n - 1, 'WITHSCORES')
local last, ids = oldest[#oldest], {}
for i = 1, #oldest, 2 do
  if oldest[i + 1] ~= last then
    ids[#ids + 1] = oldest[i]
  end
end
local together = call('ZRANGE', key, last, last, 'BYSCORE', 'LIMIT', 0, 10000)
if #ids + #together > n then
  local orders = {}
  for _, id in ipairs(together) do
    orders[id] = order_of(id)
  end
  table.sort(together, function(one, other)
    return orders[one] < orders[other]
  end)
end
for i = 1, n - #ids do
  ids[#ids + 1] = together[i]
end

for _, id in ipairs(ids) do
  local job = call('HMGET', P .. 'job:' .. id, 'state', 'task', 'key', 'batch')
  if job[3] then
    local name = (job[2] or task_of(id)) .. ':' .. job[3]
    if call('HGET', P .. 'keys', name) == id then
      call('HDEL', P .. 'keys', name)
    end
  end
  call('UNLINK', P .. 'job:' .. id, P .. 'history:' .. id)
  remove(P .. 'jobs', id)
  if job[4] then
    remove(P .. 'members:' .. job[4], id)
  end
  remove(key, id)
  count(job[1], queue, -1)
end
finish()
return #ids
