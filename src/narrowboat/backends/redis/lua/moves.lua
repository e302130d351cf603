-- What all verbs but enqueue share besides: how jobs move between states, gates, whose turn it is, and what workers are known.
-- It stands behind the prelude.

local function remove(key, member)
  local values = removed[key]
  if not values then
    removed[key] = { member }
  else
    values[#values + 1] = member
  end
end

-- Its place among all jobs ever written.
local function order_of(id)
  return tonumber(call('ZSCORE', P .. 'jobs', id))
end

-- A waiting job leaves its lane, otherwise than by a claim.
local function quit(id, queue, task, key)
  local lane = lane_name(task, key)
  local name = queue .. ':' .. lane
  remove(P .. 'lane:' .. name, id)
  if not shrunk[name] then
    shrunk[name] = true
    shrunk[#shrunk + 1] = { queue, lane }
  end
end

-- Moves between states. Each takes a job that has left the structure of its state before.

local function to_queue(id, queue, task, key, client, priority, now)
  call('HSET', P .. 'job:' .. id, 'state', 'queued', 'queued_at', now, 'revision', revision())
  join(id, queue, task or task_of(id), key, tonumber(priority or 0), order_of(id))
  count('queued', queue, 1)
  count_client(queue, client, 1)
  changed[#changed + 1] = id
end

local function to_schedule(id, queue, client, due)
  call('HSET', P .. 'job:' .. id, 'state', 'scheduled', 'due_at', due, 'revision', revision())
  add(P .. 'scheduled', due, id)
  count('scheduled', queue, 1)
  count_client(queue, client, 1)
  changed[#changed + 1] = id
end

local function to_end(id, queue, state, reason, batch, now)
  local job = P .. 'job:' .. id
  call('HSET', job, 'state', state, 'finished_at', now, 'revision', revision())
  if reason ~= '' then
    call('HSET', job, 'reason', reason)
  end
  add(P .. (state == 'dead' and 'dead:' or 'done:') .. queue, now, id)
  count(state, queue, 1)
  if batch then
    count_batch(batch, state, 1, now)
  end
  changed[#changed + 1] = id
end

-- A running job, no longer in `running`, goes back uncharged and without a trace; cancelled, if that was asked for.
local function release(id, worker, to, delay, now)
  local key = P .. 'job:' .. id
  local job = call('HMGET', key, 'queue', 'task', 'lane_key', 'priority', 'client', 'cancel', 'batch')
  call('HDEL', key, 'started_at', 'progress', 'cancel', 'holder')
  count('running', job[1], -1)
  if job[6] then
    call('SREM', P .. 'cancelling:' .. worker, id)
    to_end(id, job[1], 'cancelled', job[6], job[7], now)
  elseif to == 'scheduled' then
    to_schedule(id, job[1], job[5], now + delay)
  else
    to_queue(id, job[1], job[2], job[3], job[5], job[4], now)
  end
end

-- Claims are fields of the hash `running:<worker>`: "<token> <id>" -> "<step> <start> <queue>". The start is a time, "-" for
-- an attempt that nobody said has begun, "?" for one that was rescued. In further lines stand the gates that the job went
-- through and that want to hear of its end, and in a last one, after "batch:", the batch that counts it.
local function id_of(claim)
  return string.match(claim, '^%d+ (.*)$')
end

-- Padded: one value of more than 64 bytes makes the hash a table; with short ones only, Redis keeps up to 512 of them in a
-- list, which it searches from the beginning.
local function claim_value(step, start, queue, passed, batch)
  return string.format('%-65s', step .. ' ' .. start .. ' ' .. queue)
    .. (passed and '\n' .. passed or '')
    .. (batch and '\nbatch:' .. batch or '')
end

local function parts_of(value)
  if string.find(value, '\n', 1, true) then
    local step, start, queue, passed = string.match(value, '^(%d+) (%S+) ([^\n]-) *(\n.*)$')
    local gates, batch = string.match(passed, '^(.*)\nbatch:([^\n]*)$')
    passed = string.sub(gates or passed, 2)
    return step, start, queue, passed ~= '' and passed or nil, batch
  end
  return string.match(value, '^(%d+) (%S+) (.-) *$')
end

-- Give back claims of a worker, those of the oldest jobs first.
local function give_back(worker, claims, now)
  local jobs = {}
  put('HDEL', P .. 'running:' .. worker, claims)
  for _, claim in ipairs(claims) do
    local id = id_of(claim)
    jobs[#jobs + 1] = { id = id, order = order_of(id) }
  end
  table.sort(jobs, function(one, other)
    return one.order < other.order
  end)
  for _, job in ipairs(jobs) do
    release(job.id, worker, 'queued', 0, now)
  end
end

-- Every queue that has jobs.
local function queues()
  local names, seen = {}, {}
  for _, field in ipairs(call('HKEYS', P .. 'counts')) do
    local queue = string.match(field, '^%l+:(.*)$')
    if not seen[queue] then
      seen[queue] = true
      names[#names + 1] = queue
    end
  end
  return names
end

-- Put lanes into the index of the open ones, or take them out, after a change of gates, or of what workers know.
-- of_queue, of_task: which lanes; nil for all. is_anew: they leave the lines that they are in.
local function reopen(of_queue, of_task, is_anew)
  has_gates, known = nil, {}
  local has_held = call('EXISTS', P .. 'held') == 1
  for _, queue in ipairs(of_queue and { of_queue } or queues()) do
    local at = 0
    repeat
      local lanes = call('ZRANGE', P .. 'lanes:' .. queue, at, at + 999, 'WITHSCORES')
      for i = 1, #lanes, 2 do
        local task = task_of_lane(lanes[i])
        if not of_task or of_task[task] then
          if has_held and is_anew then
            replace_in_line(queue, lanes[i], nil)
          end
          if not is_open(queue, task) then
            call('ZREM', P .. 'open:' .. queue, lanes[i])
          elseif has_held and call('HEXISTS', P .. 'held', in_line(queue, lanes[i])) == 1 then
            call('ZREM', P .. 'open:' .. queue, lanes[i])
          elseif call('ZADD', P .. 'open:' .. queue, lanes[i + 1], lanes[i]) == 1 then
            ring(queue, task)
          end
        end
      end
      at = at + 1000
    until #lanes < 2000
  end
end

local function reopen_scope(scope)
  local kind, name = string.match(scope, '^(%l+):(.*)$')
  if kind == 'queue' then
    reopen(name, nil)
  else
    reopen(nil, { [name] = true })
  end
end

-- Open the gates whose time is over. Returns when the next one opens by itself, or nil.
local function open_expired(now)
  if call('EXISTS', P .. 'gates') == 0 then
    return nil
  end
  local gates, soonest = call('HGETALL', P .. 'gates'), nil
  for i = 1, #gates, 2 do
    local opens = cjson.decode(gates[i + 1])['until']
    if type(opens) == 'number' then
      if opens <= now then
        call('HDEL', P .. 'gates', gates[i])
        reopen_scope(gates[i])
      elseif not soonest or opens < soonest then
        soonest = opens
      end
    end
  end
  return soonest
end

-- Queue scheduled jobs that are due, at most PROMOTE. Returns how many.
local PROMOTE = 200

local function promote(now)
  local due = call('ZRANGE', P .. 'scheduled', '-inf', now, 'BYSCORE', 'LIMIT', 0, PROMOTE, 'WITHSCORES')
  if #due == 0 then
    return 0
  end
  local jobs = {}
  for i = 1, #due, 2 do
    local job = call('HMGET', P .. 'job:' .. due[i], 'queue', 'task', 'lane_key', 'priority', 'client')
    jobs[#jobs + 1] = { id = due[i], due = tonumber(due[i + 1]), order = order_of(due[i]), job = job }
    remove(P .. 'scheduled', due[i])
  end
  table.sort(jobs, function(one, other)
    return one.due < other.due or (one.due == other.due and one.order < other.order)
  end)
  for _, each in ipairs(jobs) do
    local id, job = each.id, each.job
    call('HDEL', P .. 'job:' .. id, 'due_at')
    count('scheduled', job[1], -1)
    count_client(job[1], job[5], -1)
    to_queue(id, job[1], job[2], job[3], job[5], job[4], now)
  end
  flush()
  return #jobs
end

-- Open lanes of a queue that serve these tasks (a set), next one first: at most `most`, as {score, lane}, and whether there
-- may be more. Of lanes that do not serve, no more than LOOKED are passed over.
local LOOKED = 10000

local function line_up(queue, tasks, most)
  local found, at = {}, 0
  while at < LOOKED do
    local part = call('ZRANGE', P .. 'open:' .. queue, at, at + 15, 'WITHSCORES')
    for i = 1, #part, 2 do
      if tasks[part[i]] or tasks[task_of_lane(part[i])] then
        found[#found + 1] = { tonumber(part[i + 1]), part[i] }
        if #found == most then
          return found, true
        end
      end
    end
    if #part < 32 then
      return found, false
    end
    at = at + 16
  end
  return found, false
end

-- Workers teach which tasks are known: `known` counts those that do, and `tasks` of each says which.

local function set_of(tasks)
  local has = {}
  for name in string.gmatch(tasks or '', '[^\n]+') do
    has[name] = true
  end
  return has
end

local function learn(worker, names)
  local has, news = set_of(call('HGET', P .. 'worker:' .. worker, 'tasks')), nil
  for _, name in ipairs(names) do
    if not has[name] and call('HINCRBY', P .. 'known', name, 1) == 1 then
      news = news or {}
      news[name] = true
    end
  end
  if news then
    reopen(nil, news)
  end
end

-- but: tasks that it still knows.
local function unlearn(worker, but)
  local lost = nil
  for name in pairs(set_of(call('HGET', P .. 'worker:' .. worker, 'tasks'))) do
    if not but[name] and call('HINCRBY', P .. 'known', name, -1) <= 0 then
      call('HDEL', P .. 'known', name)
      lost = lost or {}
      lost[name] = true
    end
  end
  if lost then
    reopen(nil, lost)
  end
end

local function forget(worker)
  unlearn(worker, {})
  -- stylua: ignore
  call('UNLINK', P .. 'worker:' .. worker, P .. 'running:' .. worker, P .. 'cancelling:' .. worker, P .. 'bell-of:' .. worker)
  call('HDEL', P .. 'cancels', worker)
  call('ZREM', P .. 'workers', worker)
end

local function is_known_worker(worker)
  return call('EXISTS', P .. 'worker:' .. worker) == 1
end

local UNKNOWN = { err = 'UNKNOWNWORKER' }
