-- What every verb shares. It stands before the verb, after the verb's first line (its flags).
--
-- KEYS[1] is the prefix of the namespace, such as "nb:{nb}:"; all keys begin with it, and so are in one slot of a cluster.
-- A job is in exactly one structure for each state: a lane, `scheduled`, `running:<worker>`, `done:<queue>`, `dead:<queue>`.
-- The first thing that a verb writes is one that only its own users may write (see acl.py): who may not is refused before
-- anything was changed.
-- What a verb changes in sorted sets and counts is gathered, and written by `finish`: a command for many jobs costs little
-- more than one for a single job. Its hash is written at once, so that whoever looks at it later in a script sees it.

local P, call = KEYS[1], redis.call
local SPAN = 35184372088832 -- 2^45. In a lane: (100 - priority) * SPAN + order; among lanes: ... + turn. Exact in a double
local MANY = 4000 -- values in one command, an even number: Lua's stack holds some 8,000

local function clock(text)
  if text ~= '' then
    return tonumber(text)
  end
  local time = call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- As Redis writes numbers. What is used for many jobs is made into text once: printing numbers is slow.
local function text_of(number)
  return string.format('%.17g', number)
end

-- The same for a whole number, faster.
local function whole_text_of(number)
  return string.format('%d', number)
end

-- One counter gives orders, turns, tokens and revisions; a script takes as many as it will need at once.
local next_number, last_number = 1, 0

local function reserve(n)
  last_number = call('INCRBY', P .. 'count', n)
  next_number = last_number - n + 1
end

local function draw()
  if next_number > last_number then
    reserve(32)
  end
  next_number = next_number + 1
  return next_number - 1
end

-- What a script changes, nobody sees before its end: one revision is enough for all of it.
local drawn_revision

local function revision()
  drawn_revision = drawn_revision or text_of(draw())
  return drawn_revision
end

-- A command with many values, in parts.
local function put(command, key, values)
  for i = 1, #values, MANY do
    call(command, key, unpack(values, i, math.min(i + MANY - 1, #values)))
  end
end

local changed = {} -- ids of jobs that watchers may want to hear of
local added, removed = {}, {} -- key -> values for ZADD, for ZREM
local counted, clients = {}, {} -- state -> queue -> by how many; queue -> client -> by how many
local batched, batched_at, end_batches = {}, nil, nil -- batch -> field -> by how many; when; what writes that (see below)
local joined, shrunk = {}, {} -- lanes that jobs have joined; lanes that lost jobs otherwise than by a claim

local function add(key, score, member)
  local values = added[key]
  if not values then
    values = {}
    added[key] = values
  end
  local n = #values
  values[n + 1], values[n + 2] = score, member
end

local function count(state, queue, by)
  local of_queue = counted[state]
  if not of_queue then
    of_queue = {}
    counted[state] = of_queue
  end
  of_queue[queue] = (of_queue[queue] or 0) + by
end

local function count_client(queue, client, by)
  if client and client ~= '' then
    clients[queue] = clients[queue] or {}
    clients[queue][client] = (clients[queue][client] or 0) + by
  end
end

-- field: "total", or a final state.
local function count_batch(batch, field, by, now)
  local fields = batched[batch] or {}
  batched[batch] = fields
  fields[field] = (fields[field] or 0) + by
  batched_at = now
end

local function task_of(id)
  return string.match(id, '^(.*):')
end

local function lane_name(task, key)
  if key and key ~= '' then
    return task .. ':' .. key
  end
  return task
end

local function task_of_lane(lane)
  return string.match(lane, '^[^:]*')
end

-- Whether a lane belongs into the index `open:<queue>`: no gate is shut, and a worker knows the task.
local has_gates, known = nil, {}

local function is_open(queue, task)
  if known[task] == nil then
    known[task] = call('HEXISTS', P .. 'known', task) == 1
  end
  if not known[task] then
    return false
  end
  if has_gates == nil then
    has_gates = call('EXISTS', P .. 'gates') == 1
  end
  return not has_gates
    or (call('HEXISTS', P .. 'gates', 'queue:' .. queue) == 0 and call('HEXISTS', P .. 'gates', 'task:' .. task) == 0)
end

-- Wake one of those who sleep until there is work of this task in this queue.
local function ring(queue, task)
  local bell = P .. 'bell:' .. queue .. ':' .. task
  if call('EXISTS', bell) == 0 then
    call('RPUSH', bell, 1)
  end
end

-- A job joins its lane, at the place of its age.
local function join(id, queue, task, key, priority, order)
  local lane = lane_name(task, key)
  local name = queue .. ':' .. lane
  local class = (100 - priority) * SPAN
  local values = joined[name]
  if not values then
    values = { name = name, queue = queue, task = task, lane = lane, class = class }
    joined[name] = values
    joined[#joined + 1] = values
  elseif class < values.class then
    values.class = class
  end
  local n = #values
  values[n + 1], values[n + 2] = whole_text_of(class + order), id
end

-- A lane that is held stands in the line of a gate of its controls, not in the index (see controls.lua). It is known there by
-- its queue and its name.
local function in_line(queue, lane)
  return queue .. '\n' .. lane
end

-- A lane that is not in the index has another place; nil: it leaves the line that it may be in.
local function replace_in_line(queue, lane, at)
  local name = in_line(queue, lane)
  local scope = call('HGET', P .. 'held', name)
  if scope and at then
    call('ZADD', P .. 'lines:' .. scope, at, name)
  elseif scope then
    call('ZREM', P .. 'lines:' .. scope, name)
    call('HDEL', P .. 'held', name)
  end
end

-- Lanes that jobs have joined take their place: new ones behind all others of their priority.
local function seat()
  for i = 1, #joined do
    local lane = joined[i]
    put('ZADD', P .. 'lane:' .. lane.name, lane)
    local lanes = P .. 'lanes:' .. lane.queue
    local open = P .. 'open:' .. lane.queue
    local index = call('ZSCORE', open, lane.lane)
    local at = tonumber(index or call('ZSCORE', lanes, lane.lane)) -- the same in both
    if not at then
      at = lane.class + draw()
      call('ZADD', lanes, at, lane.lane)
      index = is_open(lane.queue, lane.task) and call('ZADD', open, at, lane.lane)
    elseif at >= lane.class + SPAN then
      at = lane.class + at % SPAN
      call('ZADD', lanes, at, lane.lane)
      if index then
        call('ZADD', open, at, lane.lane)
      else
        replace_in_line(lane.queue, lane.lane, at)
      end
    end
    if index then
      ring(lane.queue, lane.task)
    end
  end
  joined = {}
end

-- Lanes that lost jobs: another head, or none. They keep their turn.
local function rehead()
  for i = 1, #shrunk do
    local queue, lane = shrunk[i][1], shrunk[i][2]
    local lanes, open = P .. 'lanes:' .. queue, P .. 'open:' .. queue
    local head = call('ZRANGE', P .. 'lane:' .. queue .. ':' .. lane, 0, 0, 'WITHSCORES')
    if not head[1] then
      call('ZREM', lanes, lane)
      if call('ZREM', open, lane) == 0 then
        replace_in_line(queue, lane, nil)
      end
    else
      local at, first = tonumber(call('ZSCORE', lanes, lane)), tonumber(head[2])
      local class = first - first % SPAN
      if at - at % SPAN ~= class then
        at = class + at % SPAN
        call('ZADD', lanes, at, lane)
        if call('ZADD', open, 'XX', 'CH', at, lane) == 0 then
          replace_in_line(queue, lane, at)
        end
      end
    end
  end
  shrunk = {}
end

-- Write what was gathered.
local function flush()
  for key, members in pairs(removed) do
    put('ZREM', key, members)
  end
  for key, values in pairs(added) do
    put('ZADD', key, values)
  end
  removed, added = {}, {}
  rehead()
  seat()
end

-- The end of a verb that writes: counts, and a hint for watchers if there are any.
local function finish()
  end_batches()
  flush()
  for state, of_queue in pairs(counted) do
    for queue, by in pairs(of_queue) do
      local field = state .. ':' .. queue
      if by ~= 0 and call('HINCRBY', P .. 'counts', field, by) == 0 then
        call('HDEL', P .. 'counts', field)
      end
    end
  end
  for queue, of_client in pairs(clients) do
    local key = P .. 'clients:' .. queue
    for client, by in pairs(of_client) do
      if by ~= 0 and call('HINCRBY', key, client, by) == 0 then
        call('HDEL', key, client)
      end
    end
  end
  if #changed > 0 and call('PUBSUB', 'NUMSUB', P .. 'changed')[2] > 0 then
    call('PUBLISH', P .. 'changed', table.concat(changed, '\n'))
  end
end

-- The other job that keeps a key from one that asks for it. key_for: "waiting", "active", or seconds after success.
local function key_holder(id, task, key, key_for, now)
  local holder = call('HGET', P .. 'keys', task .. ':' .. key)
  if not holder or holder == id then
    return nil
  end
  local job = call('HMGET', P .. 'job:' .. holder, 'state', 'finished_at')
  local state = job[1]
  if
    state == 'queued'
    or state == 'scheduled'
    or (state == 'running' and key_for ~= 'waiting')
    or (state == 'succeeded' and tonumber(key_for) and now < tonumber(job[2]) + tonumber(key_for))
  then
    return holder
  end
  return nil
end

-- A new job, as the ten values and the fields from `a[i]` on say: id, task, queue, lane key, priority, due or "", delay or "", key,
-- key_for, client, number of fields and values, those. Returns the id of the job that is there in its place, "" if it was
-- written, and where the next one begins.
local function write(a, i, now, now_text, is_surely_new)
  local id, task, queue, key = a[i], a[i + 1], a[i + 2], a[i + 7]
  local job, beyond = P .. 'job:' .. id, i + 11 + tonumber(a[i + 10])
  if not is_surely_new and call('EXISTS', job) == 1 then
    return id, beyond
  end
  if key ~= '' then
    local holder = key_holder(id, task, key, a[i + 8], now)
    if holder then
      return holder, beyond
    end
    call('HSET', P .. 'keys', task .. ':' .. key, id)
  end
  local order = draw()
  local due = a[i + 5] ~= '' and tonumber(a[i + 5]) or a[i + 6] ~= '' and now + tonumber(a[i + 6]) or now
  if due > now then
    -- stylua: ignore
    call('HSET', job, 'state', 'scheduled', 'queue', queue, 'enqueued_at', now_text, 'due_at', due,
      unpack(a, i + 11, beyond - 1))
    add(P .. 'scheduled', due, id)
    count('scheduled', queue, 1)
  else
    -- stylua: ignore
    call('HSET', job, 'state', 'queued', 'queue', queue, 'enqueued_at', now_text, unpack(a, i + 11, beyond - 1))
    join(id, queue, task, a[i + 3], tonumber(a[i + 4]), order)
    count('queued', queue, 1)
  end
  count_client(queue, a[i + 9], 1)
  local order_text = whole_text_of(order)
  add(P .. 'jobs', order_text, id)
  if a[beyond - 2] == 'batch' then
    add(P .. 'members:' .. a[beyond - 1], order_text, id)
    count_batch(a[beyond - 1], 'total', 1, now)
  end
  changed[#changed + 1] = id
  return '', beyond
end

-- A batch, `batch:<id>`: when, sealed, total, succeeded, dead, cancelled, created_at, changed_at, finished_at, final_id, final
-- (MessagePack of a job as `write` takes it), summary, kept. In `batches` all are in the order in which they came, in
-- `members:<id>` its jobs are.

local function forget_batch(id)
  call('ZREM', P .. 'batches', id)
  call('UNLINK', P .. 'batch:' .. id, P .. 'members:' .. id)
end

-- In the header of a final job stands the id and a question mark, until the totals are known.
local function write_final(id, final, totals, now)
  local words = cmsgpack.unpack(final)
  for i = 12, #words, 2 do
    if words[i] == 'about' then
      local blank = string.gsub(id .. ' ?', '%p', '%%%0')
      words[i + 1] = string.gsub(words[i + 1], '"' .. blank .. '"', '"' .. id .. ' ' .. totals .. '"')
    end
  end
  write(words, 1, now, text_of(now), false)
end

-- A batch whose jobs have all ended as they should is finished, once.
local function finish_batch(id, now)
  local key = P .. 'batch:' .. id
  -- stylua: ignore
  local batch = call('HMGET', key, 'when', 'sealed', 'total', 'succeeded', 'dead', 'cancelled', 'finished_at', 'final', 'kept')
  local total, succeeded = tonumber(batch[3]), tonumber(batch[4])
  local ended = batch[1] == 'ended' and succeeded + tonumber(batch[5]) + tonumber(batch[6]) or succeeded
  if batch[2] == '0' or batch[7] or ended < total then
    return
  end
  call('HSET', key, 'finished_at', now)
  if batch[8] then
    write_final(id, batch[8], table.concat(batch, ' ', 3, 6), now)
  end
  if batch[9] == '0' then
    forget_batch(id)
  end
end

-- Jobs of batches were written, have ended, or were queued again.
function end_batches()
  if not batched_at then
    return
  end
  local now, all = batched_at, batched
  batched, batched_at = {}, nil
  for id, fields in pairs(all) do
    local key = P .. 'batch:' .. id
    if call('EXISTS', key) == 1 then
      for field, by in pairs(fields) do
        call('HINCRBY', key, field, by)
      end
      call('HSET', key, 'changed_at', text_of(now))
      finish_batch(id, now)
    end
  end
end

-- Who sleeps must know of a job that comes due before all others: it has counted on a later one.
local function ring_for_the_first_due(before)
  local first = call('ZRANGE', P .. 'scheduled', 0, 0)[1]
  if first and first ~= before then
    local job = call('HMGET', P .. 'job:' .. first, 'queue', 'task')
    ring(job[1], job[2] or task_of(first))
  end
end
