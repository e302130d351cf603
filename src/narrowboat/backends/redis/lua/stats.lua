#!lua flags=no-writes
-- Numbers of all queues, at one moment. No ARGV.
-- Returns {"<state>:<queue>", count...}, {queue, when its oldest queued job joined the line, {tasks of its lanes}}...
-- Of a queue, at most 1000 lanes are looked at.

local waiting = {}
for _, queue in ipairs(queues()) do
  local tasks, seen, oldest = {}, {}, nil
  for _, lane in ipairs(call('ZRANGE', P .. 'lanes:' .. queue, 0, 999)) do
    local task = task_of_lane(lane)
    if not seen[task] then
      seen[task] = true
      tasks[#tasks + 1] = task
    end
    local from = '-inf'
    for _ = -100, 100 do -- the first of each priority
      -- stylua: ignore
      local head = call('ZRANGE', P .. 'lane:' .. queue .. ':' .. lane, from, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
      if not head[1] then
        break
      end
      local since = call('HMGET', P .. 'job:' .. head[1], 'queued_at', 'enqueued_at')
      since = tonumber(since[1] or since[2])
      oldest = oldest and math.min(oldest, since) or since
      local score = tonumber(head[2])
      from = text_of(score - score % SPAN + SPAN)
    end
  end
  waiting[#waiting + 1] = { queue, oldest and text_of(oldest) or false, tasks }
end
return { call('HGETALL', P .. 'counts'), waiting }
