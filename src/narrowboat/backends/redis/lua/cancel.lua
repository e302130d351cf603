#!lua flags=allow-oom
-- Cancel waiting jobs; ask the workers of running ones.
-- ARGV: now or "", reason, [id]...
-- Returns the state of each job afterwards; false for one that is not there.

local now, reason = clock(ARGV[1]), ARGV[2]
local states = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local key = P .. 'job:' .. id
  -- stylua: ignore
  local job = call('HMGET', key, 'state', 'queue', 'task', 'lane_key', 'client', 'worker', 'holder', 'batch')
  local state, queue = job[1], job[2]
  if state == 'queued' or state == 'scheduled' then
    if state == 'queued' then
      quit(id, queue, job[3] or task_of(id), job[4])
    else
      remove(P .. 'scheduled', id)
      call('HDEL', key, 'due_at')
    end
    count(state, queue, -1)
    count_client(queue, job[5], -1)
    to_end(id, queue, 'cancelled', reason, job[8], now)
    state = 'cancelled'
  elseif state == 'running' and call('HSETNX', key, 'cancel', reason) == 1 then
    local worker = job[7] or job[6]
    call('HSET', key, 'revision', revision())
    call('SADD', P .. 'cancelling:' .. worker, id)
    call('HINCRBY', P .. 'cancels', worker, 1)
    call('RPUSH', P .. 'bell-of:' .. worker, 1)
    call('LTRIM', P .. 'bell-of:' .. worker, -1, -1)
    changed[#changed + 1] = id
  end
  states[#states + 1] = state
end
finish()
return states
