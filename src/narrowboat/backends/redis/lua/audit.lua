#!lua flags=no-writes
-- Is each job in exactly the structure of its state? Some jobs at a time, in the order in which they came.
-- ARGV: order to begin above or "-inf", most to look at
-- Returns {sentences, order of the last job looked at, or 0 at the end}; at the end the sizes of all structures, too.

local found = {}
local function say(...)
  found[#found + 1] = table.concat({ ... })
end

local gates = call('HKEYS', P .. 'gates')
local function is_shut(queue, task)
  for _, scope in ipairs(gates) do
    if scope == 'queue:' .. queue or scope == 'task:' .. task then
      return true
    end
  end
  return false
end

local workers, holders, passed_by = call('ZRANGE', P .. 'workers', 0, -1), {}, {}
for _, worker in ipairs(workers) do
  local claims = call('HGETALL', P .. 'running:' .. worker)
  for i = 1, #claims, 2 do
    local id = id_of(claims[i])
    local _, _, _, passed = parts_of(claims[i + 1])
    for scope in string.gmatch(passed or '', '[^\n]+') do
      passed_by[scope] = (passed_by[scope] or 0) + 1
    end
    if holders[id] then
      say(id, ' is held by ', holders[id], ' and by ', worker)
    end
    holders[id] = worker
  end
end

local jobs = call('ZRANGE', P .. 'jobs', '(' .. ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
for i = 1, #jobs, 2 do
  local id = jobs[i]
  -- stylua: ignore
  local job = call('HMGET', P .. 'job:' .. id, 'state', 'queue', 'task', 'lane_key', 'priority', 'queue', 'due_at',
    'finished_at', 'worker', 'holder', 'cancel', 'args')
  local state, queue = job[1], job[2]
  if not state then
    say(id, ' is among the jobs, and there is no such job')
  else
    local lane = queue .. ':' .. lane_name(job[3] or task_of(id), job[4])
    local place = tonumber(call('ZSCORE', P .. 'lane:' .. lane, id) or -1)
    local is_in = {
      queued = place == (100 - tonumber(job[5] or 0)) * SPAN + tonumber(jobs[i + 1]),
      scheduled = call('ZSCORE', P .. 'scheduled', id),
      running = holders[id],
      done = call('ZSCORE', P .. 'done:' .. queue, id),
      dead = call('ZSCORE', P .. 'dead:' .. queue, id),
    }
    local home = (state == 'succeeded' or state == 'cancelled') and 'done' or state
    for name, is_there in pairs(is_in) do
      if (is_there and true or false) ~= (name == home) then
        say(id, ' is ', state, ', and ', is_there and 'also' or 'not', ' among the ', name, ' jobs')
      end
    end
    if (job[7] and true or false) ~= (state == 'scheduled') then
      say(id, ' is ', state, ', and ', job[7] and 'has a' or 'has no', ' due time')
    end
    if (job[8] and true or false) ~= (home == 'done' or home == 'dead') then
      say(id, ' is ', state, ', and ', job[8] and 'has a' or 'has no', ' finish time')
    end
    if state == 'running' and holders[id] and holders[id] ~= (job[10] or job[9]) then
      say(id, ' says that ', job[10] or job[9], ' holds it, and it is ', holders[id])
    end
    local is_asked = holders[id] and call('SISMEMBER', P .. 'cancelling:' .. holders[id], id) == 1
    if (is_asked and true or false) ~= (state == 'running' and job[11] and true or false) then
      say(id, ' is ', state, ', and a cancel was ', job[11] and '' or 'not ', 'asked for, which its worker is told otherwise')
    end
    if not job[12] then
      say(id, ' has no arguments')
    end
  end
end
if #jobs == 2 * tonumber(ARGV[2]) then
  return { found, tonumber(jobs[#jobs]) }
end

-- Since each job was in its structure, they have no stray members if they are as large as is counted, and no larger.
local counts, total = {}, 0
local all = call('HGETALL', P .. 'counts')
for i = 1, #all, 2 do
  counts[all[i]] = tonumber(all[i + 1])
  total = total + counts[all[i]]
end
local function compare(what, counted_as, size)
  if counted_as ~= size then
    say(what, ': ', counted_as, ' are counted, and there are ', size)
  end
end
compare('jobs', total, call('ZCARD', P .. 'jobs'))
local running, scheduled, n_held, lines = 0, 0, 0, {}
for _, queue in ipairs(queues()) do
  local queued, at = 0, 0
  repeat
    local lanes = call('ZRANGE', P .. 'lanes:' .. queue, at, at + 999, 'WITHSCORES')
    for i = 1, #lanes, 2 do
      local lane, task = lanes[i], task_of_lane(lanes[i])
      local size = call('ZCARD', P .. 'lane:' .. queue .. ':' .. lane)
      queued = queued + size
      local head = tonumber(call('ZRANGE', P .. 'lane:' .. queue .. ':' .. lane, 0, 0, 'WITHSCORES')[2] or -1)
      local stands = tonumber(lanes[i + 1])
      if head < 0 then
        say('the lane ', queue, ':', lane, ' is empty, and kept')
      elseif head - head % SPAN ~= stands - stands % SPAN then
        say('the lane ', queue, ':', lane, ' stands where the priority of its head is another')
      end
      local index = call('ZSCORE', P .. 'open:' .. queue, lane)
      local before = call('HGET', P .. 'held', in_line(queue, lane))
      local should = call('HEXISTS', P .. 'known', task) == 1 and not is_shut(queue, task) and not before
      if (index and true or false) ~= should then
        say('the lane ', queue, ':', lane, ' is ', index and '' or 'not ', 'among the open ones, which is not so')
      elseif index and tonumber(index) ~= stands then
        say('the lane ', queue, ':', lane, ' has two places')
      end
      if before then
        n_held = n_held + 1
        if tonumber(call('ZSCORE', P .. 'lines:' .. before, in_line(queue, lane)) or -1) ~= stands then
          say('the lane ', queue, ':', lane, ' is held before ', before, ', and has not its place in that line')
        end
        lines[before] = (lines[before] or 0) + 1
      end
    end
    at = at + 1000
  until #lanes < 2000
  if call('ZCARD', P .. 'open:' .. queue) > call('ZCARD', P .. 'lanes:' .. queue) then
    say('more lanes of ', queue, ' are open than there are')
  end
  compare('queued jobs of ' .. queue, counts['queued:' .. queue] or 0, queued)
  compare(
    'finished jobs of ' .. queue,
    (counts['succeeded:' .. queue] or 0) + (counts['cancelled:' .. queue] or 0),
    call('ZCARD', P .. 'done:' .. queue)
  )
  compare('dead jobs of ' .. queue, counts['dead:' .. queue] or 0, call('ZCARD', P .. 'dead:' .. queue))
  running = running + (counts['running:' .. queue] or 0)
  scheduled = scheduled + (counts['scheduled:' .. queue] or 0)
end
local held = 0
for _ in pairs(holders) do
  held = held + 1
end
compare('running jobs', running, held)
compare('scheduled jobs', scheduled, call('ZCARD', P .. 'scheduled'))

-- What gates remember, and whether something will open those before which lanes wait.
compare('held lanes', n_held, call('HLEN', P .. 'held'))
local meters, is_open_breaker = call('HGETALL', P .. 'meters'), 0
local opens = {}
for i = 1, #meters, 2 do
  local scope, meter = meters[i], cmsgpack.unpack(meters[i + 1])
  local its_running, its_until, probe = meter.running or 0, meter['until'] or 0, meter.probe
  if string.sub(scope, 1, 6) == 'limit:' then
    compare('running jobs that have gone through ' .. scope, its_running, passed_by[scope] or 0)
    passed_by[scope] = nil
  end
  if probe and not holders[probe] then
    say(scope, ' waits for ', probe, ', which does not run')
  end
  if its_until > 0 then
    is_open_breaker = is_open_breaker + 1
    if call('SISMEMBER', P .. 'breakers', scope) == 0 then
      say(scope, ' is open, and not among those that are')
    end
  end
  opens[scope] = its_running > 0 or probe or its_until > 0
end
compare('open breakers', is_open_breaker, call('SCARD', P .. 'breakers'))
for scope in pairs(passed_by) do
  if string.sub(scope, 1, 6) == 'limit:' then
    say('running jobs have gone through ', scope, ', which counts none')
  end
end
for scope, n in pairs(lines) do
  compare('lanes in the line of ' .. scope, n, call('ZCARD', P .. 'lines:' .. scope))
  if not opens[scope] and not call('ZSCORE', P .. 'due-gates', scope) then
    say('lanes wait before ', scope, ', which nothing will open')
  end
end

-- Batches: what is there of their jobs is counted, and who is to be finished is.
for _, id in ipairs(call('ZRANGE', P .. 'batches', 0, 999)) do
  -- stylua: ignore
  local batch = call('HMGET', P .. 'batch:' .. id, 'total', 'succeeded', 'dead', 'cancelled', 'when', 'sealed', 'finished_at')
  if not batch[1] then
    say('batch ', id, ' is listed, and is not there')
  else
    local open, has = tonumber(batch[1]), { succeeded = 0, dead = 0, cancelled = 0, open = 0 }
    for _, job in ipairs(call('ZRANGE', P .. 'members:' .. id, 0, 9999)) do
      local state = call('HGET', P .. 'job:' .. job, 'state') or 'open'
      state = has[state] and state or 'open'
      has[state] = has[state] + 1
    end
    for i, state in ipairs({ 'succeeded', 'dead', 'cancelled' }) do
      open = open - tonumber(batch[i + 1])
      if has[state] > tonumber(batch[i + 1]) then
        say('batch ', id, ' counts ', batch[i + 1], ' jobs ', state, ', and there are ', has[state])
      end
    end
    compare('jobs of the batch ' .. id .. ' that have not ended', open, has.open)
    local is_there = batch[5] == 'ended' and open == 0 or batch[1] == batch[2]
    if is_there and batch[6] == '1' and not batch[7] then
      say('batch ', id, ' is to be finished, and is not')
    end
  end
end

-- Whom waiting jobs are counted for, where all jobs were looked at.
if ARGV[1] == '-inf' then
  local waiting = {}
  for i = 1, #jobs, 2 do
    local job = call('HMGET', P .. 'job:' .. jobs[i], 'state', 'queue', 'client', 'task', 'key')
    if job[3] and (job[1] == 'queued' or job[1] == 'scheduled') then
      local name = job[2] .. '\n' .. job[3]
      waiting[name] = (waiting[name] or 0) + 1
    end
  end
  for _, queue in ipairs(queues()) do
    local of_client = call('HGETALL', P .. 'clients:' .. queue)
    for i = 1, #of_client, 2 do
      local name = queue .. '\n' .. of_client[i]
      compare('waiting jobs of ' .. name, tonumber(of_client[i + 1]), waiting[name] or 0)
      waiting[name] = nil
    end
  end
  for name in pairs(waiting) do
    say('waiting jobs of ', name, ' are not counted')
  end
  local keys = call('HGETALL', P .. 'keys')
  for i = 1, #keys, 2 do
    local job = call('HMGET', P .. 'job:' .. keys[i + 1], 'task', 'key')
    if not job[2] or (job[1] or task_of(keys[i + 1])) .. ':' .. job[2] ~= keys[i] then
      say('the key ', keys[i], ' names ', keys[i + 1], ', which does not have it')
    end
  end
end
return { found, 0 }
