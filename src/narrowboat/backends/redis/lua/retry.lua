#!lua flags=allow-oom
-- Queue dead or cancelled jobs again, with fresh attempts.
-- ARGV: now or "", delay, change ("args", "queue", "priority" and their new values, as a MessagePack map), [id]...
-- Returns 1 for each job that was queued again, else 0.

local now, delay, change = clock(ARGV[1]), tonumber(ARGV[2]), cmsgpack.unpack(ARGV[3])
local answers = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local key = P .. 'job:' .. id
  -- stylua: ignore
  local job = call('HMGET', key, 'state', 'queue', 'task', 'lane_key', 'client', 'priority', 'key', 'batch')
  local task = job[3] or task_of(id)
  -- A person who retries means it, also after a success; but two jobs of one key are never alive.
  local is_ended = job[1] == 'dead' or job[1] == 'cancelled'
  if is_ended and not (job[7] and key_holder(id, task, job[7], 'active', now)) then
    local queue, priority = change.queue or job[2], change.priority or tonumber(job[6] or 0)
    call('ZREM', P .. (job[1] == 'dead' and 'dead:' or 'done:') .. job[2], id)
    count(job[1], job[2], -1)
    if job[8] then
      count_batch(job[8], job[1], -1, now)
    end
    -- stylua: ignore
    call('HDEL', key, 'errors', 'crashes', 'snoozes', 'started_at', 'finished_at', 'progress', 'reason', 'result')
    call('HSET', key, 'queue', queue, 'priority', priority)
    if change.args then
      call('HSET', key, 'args', change.args)
    end
    if job[7] then
      call('HSET', P .. 'keys', task .. ':' .. job[7], id)
    end
    if delay > 0 then
      to_schedule(id, queue, job[5], now + delay)
    else
      to_queue(id, queue, task, job[4], job[5], priority, now)
    end
    answers[#answers + 1] = 1
  else
    answers[#answers + 1] = 0
  end
end
local is_delayed = added[P .. 'scheduled'] ~= nil
local before = is_delayed and call('ZRANGE', P .. 'scheduled', 0, 0)[1]
finish()
if is_delayed then
  ring_for_the_first_due(before)
end
return answers
