#!lua flags=allow-oom
-- Settle, note starts and progress, claim: one round trip of a worker. Works also without memory to spare, since jobs that
-- end are what makes room.
-- ARGV: now or "", worker, seq, most claims or "", room or "", numbers of: settlements, starts, reports, wishes; then
--   settlements: claim ("<token> <id>"), id, microseconds since the start, result, rest ("" for a success without more;
--                else MessagePack: [to, outcome, delay, reason, rest of the attempt's JSON, [jobs as `write` takes them],
--                what a breaker is told or false, seconds to slow down for])
--   starts:      claim, id
--   reports:     claim, id, progress as JSON
--   wishes:      queue, n, room of one job, set of tasks as MessagePack
-- Returns {refused ids, claims as {queue, task, priority, words of each claim...}..., ids whose cancel was asked for, whether more
-- waits}; {} for a late copy.

local TURN = 16
local worker, seq = ARGV[2], tonumber(ARGV[3])
local me, mine = P .. 'worker:' .. worker, P .. 'running:' .. worker
local before = call('HMGET', me, 'seq', 'reply')
if not before[1] then
  return UNKNOWN
end

-- A claim as it is answered, behind the others of its group: id, token, args, about, enqueued_at, {errors, crashes, snoozes} if the
-- job was tried before. Not in a table of its own: of each that it returns Redis asks whether it is an error, a map, a set...
-- Returns what else is to be known of a job that was tried before.
local function answer(group, key, id, token)
  local job, more, again = call('HMGET', key, 'args', 'about', 'enqueued_at', 'again'), nil, false
  if job[4] then
    more = call('HMGET', key, 'errors', 'crashes', 'snoozes', 'client', 'started_at', 'batch')
    again = { more[1], more[2], more[3] }
  end
  local n = #group
  group[n + 1], group[n + 2], group[n + 3] = id, token, job[1]
  group[n + 4], group[n + 5], group[n + 6] = job[2], job[3], again
  return more
end

local function answer_again()
  local more, first, last, refused = string.match(before[2], '^(%d) (%d+) (%d+)(.*)$')
  local ids, groups = {}, {}
  for id in string.gmatch(refused or '', '%S+') do
    ids[#ids + 1] = id
  end
  for _, claim in ipairs(call('HKEYS', mine)) do -- as many as one worker holds
    local token, id = string.match(claim, '^(%d+) (.*)$')
    token = tonumber(token)
    if token >= tonumber(first) and token <= tonumber(last) then
      local job = call('HMGET', P .. 'job:' .. id, 'queue', 'task', 'priority')
      local group = { job[1], job[2] or task_of(id), tonumber(job[3] or 0) }
      answer(group, P .. 'job:' .. id, id, token)
      groups[#groups + 1] = group
    end
  end
  table.sort(groups, function(one, other)
    return one[5] < other[5]
  end)
  return { ids, groups, call('SMEMBERS', P .. 'cancelling:' .. worker), tonumber(more) }
end

if seq == tonumber(before[1]) then
  return answer_again()
elseif seq < tonumber(before[1]) then
  return {} -- its sender has had the answer and moved on
end

local now = clock(ARGV[1])
local now_text = text_of(now)
call('HSET', me, 'seq', seq, 'seen_at', now_text)
local gates = gates_if_any(now)
local most, room = tonumber(ARGV[4]), tonumber(ARGV[5])
local n_settled, n_started, n_reports, n_wants =
  tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local settled, started = 10, 10 + n_settled * 5
local reports = started + n_started * 2
local wants = reports + n_reports * 3

local wanted = 0
for w = wants, wants + n_wants * 4 - 1, 4 do
  wanted = wanted + tonumber(ARGV[w + 1])
end
if most then
  wanted = math.min(wanted, most)
end
reserve(math.min(wanted, 200) + 16)

-- Which of the named claims are this worker's, and what is known of them.
local held = {}
local function look_up(from, n, width)
  for part = 0, n - 1, 1000 do
    local claims = {}
    for i = part, math.min(part + 1000, n) - 1 do
      claims[#claims + 1] = ARGV[from + i * width]
    end
    local values = call('HMGET', mine, unpack(claims))
    for i = 1, #claims do
      held[claims[i]] = values[i] or nil
    end
  end
end
look_up(settled, n_settled, 5)
look_up(started, n_started, 2)
look_up(reports, n_reports, 3)

local cancelled, is_cancelled = call('SMEMBERS', P .. 'cancelling:' .. worker), {}
for _, id in ipairs(cancelled) do
  is_cancelled[id] = true
end

for i = reports, wants - 1, 3 do
  if held[ARGV[i]] then
    call('HSET', P .. 'job:' .. ARGV[i + 1], 'progress', ARGV[i + 2], 'revision', revision())
    changed[#changed + 1] = ARGV[i + 1]
  end
end

local function write_attempt(id, job, end_, began)
  local number = tonumber(job[5] or 0) + tonumber(job[6] or 0) + 1
  -- stylua: ignore
  call('RPUSH', P .. 'history:' .. id, '{"number":' .. number .. ',"outcome":"' .. end_[2] .. '","worker":'
    .. cjson.encode(job[8]) .. ',"started_at":' .. text_of(began) .. ',"ended_at":' .. text_of(now) .. end_[5] .. '}')
end

-- The end of an attempt that is more than a success without a word.
local function settle(id, ago, result, end_, job, batch)
  local queue, cancel, to = job[1], job[3], end_[1]
  local key = P .. 'job:' .. id
  local began = tonumber(job[2]) or now - tonumber(ago) / 1000000
  call('HSET', key, 'started_at', began, 'again', 1)
  if end_[2] == 'failed' then
    call('HSET', key, 'errors', tonumber(job[5] or 0) + 1)
  elseif end_[2] == 'crashed' then
    call('HSET', key, 'crashes', tonumber(job[6] or 0) + 1)
  elseif end_[2] == 'snoozed' then
    call('HSET', key, 'snoozes', tonumber(job[7] or 0) + 1)
  end
  if end_[2] ~= 'succeeded' or end_[5] ~= '' then
    write_attempt(id, job, end_, began)
  end
  count('running', queue, -1)
  if to == 'succeeded' then
    if result ~= '' then
      call('HSET', key, 'result', result)
    end
    to_end(id, queue, to, end_[4], batch, now)
  elseif to == 'dead' then
    to_end(id, queue, to, end_[4], batch, now)
  elseif to == 'cancelled' or cancel then
    to_end(id, queue, 'cancelled', (cancel and cancel ~= '') and cancel or end_[4], batch, now)
  else
    local line = call('HMGET', key, 'task', 'lane_key', 'priority', 'client')
    if to == 'scheduled' then
      to_schedule(id, queue, line[4], now + end_[3])
    else
      to_queue(id, queue, line[1], line[2], line[4], line[3], now)
    end
  end
end

-- The parts of a claim's value, which is the same for all that a step has claimed of a lane.
local seen, seen_began, seen_queue, seen_passed, seen_batch
local function seen_parts_of(value)
  if value ~= seen then
    local _
    _, seen_began, seen_queue, seen_passed, seen_batch = parts_of(value)
    seen = value
  end
  return seen_began, seen_queue, seen_passed, seen_batch
end

-- A time of so many microseconds ago, as text: of whole numbers, since printing others is slow.
local now_us = math.floor(now * 1000000 + 0.5)
local function text_of_ago(us)
  local at = now_us - tonumber(us)
  local beyond = at % 1000000
  return string.format('%d.%06d', (at - beyond) / 1000000, beyond)
end

local refused, gone = {}, {}
for i = settled, started - 1, 5 do
  local claim, id, rest = ARGV[i], ARGV[i + 1], ARGV[i + 4]
  local value = held[claim]
  if not value then
    refused[#refused + 1] = id
  else
    held[claim] = nil
    gone[#gone + 1] = claim
    local key = P .. 'job:' .. id
    local began, queue, passed, batch = seen_parts_of(value)
    if passed then
      gates = gates or gates_at(now)
    end
    if began == '?' or is_cancelled[id] then
      -- stylua: ignore
      local job = call('HMGET', key, 'queue', 'started_at', 'cancel', 'holder', 'errors', 'crashes', 'snoozes', 'worker')
      value = job
      began = job[2] or '-'
      if rest == '' or cmsgpack.unpack(rest)[2] ~= 'released' then -- which looks at it itself
        call('HDEL', key, 'cancel', 'holder')
        call('SREM', P .. 'cancelling:' .. worker, id)
      end
    end
    if rest == '' then
      if passed and string.find(passed, 'breaker:', 1, true) then
        local lane = call('HMGET', key, 'task', 'lane_key')
        gates.heed(id, { 'succeeded', 'succeeded', [7] = false, [8] = 0 }, lane[1] or task_of(id), lane[2] or '', 0)
      end
      began = began == '-' and text_of_ago(ARGV[i + 2]) or began
      -- stylua: ignore
      if ARGV[i + 3] == '' then
        call('HSET', key, 'state', 'succeeded', 'revision', revision(), 'started_at', began, 'finished_at', now_text)
      else
        call('HSET', key, 'state', 'succeeded', 'revision', revision(), 'started_at', began, 'finished_at', now_text,
          'result', ARGV[i + 3])
      end
      add(P .. 'done:' .. queue, now_text, id)
      count('running', queue, -1)
      count('succeeded', queue, 1)
      if batch then
        count_batch(batch, 'succeeded', 1, now)
      end
      changed[#changed + 1] = id
    else
      local end_ = cmsgpack.unpack(rest)
      if end_[2] == 'released' then
        release(id, worker, end_[1], end_[3], now)
      else
        -- stylua: ignore
        local job = type(value) == 'table' and value
          or call('HMGET', key, 'queue', 'started_at', 'cancel', 'holder', 'errors', 'crashes', 'snoozes', 'worker')
        if end_[8] > 0 then
          gates = gates or gates_at(now)
        end
        if gates then
          local lane = call('HMGET', key, 'task', 'lane_key')
          gates.heed(id, end_, lane[1] or task_of(id), lane[2] or '', tonumber(job[7] or 0))
        end
        settle(id, ARGV[i + 2], ARGV[i + 3], end_, job, batch)
      end
      local jobs, at = end_[6], 1
      while at <= #jobs do
        local _
        _, at = write(jobs, at, now, now_text, false)
      end
    end
    if passed then
      gates.let_go(passed, id)
    end
  end
end

for i = started, reports - 1, 2 do
  local claim, id = ARGV[i], ARGV[i + 1]
  if held[claim] and call('HSETNX', P .. 'job:' .. id, 'started_at', now_text) == 1 then
    call('HSET', P .. 'job:' .. id, 'revision', revision())
    local step, began, queue, passed, batch = parts_of(held[claim])
    if began == '-' then
      call('HSET', mine, claim, claim_value(step, now_text, queue, passed, batch))
    end
    changed[#changed + 1] = id
  end
end

local groups, first, last, running = {}, 1, 0, {}

local function claim(group, id, queue, value)
  local key, token = P .. 'job:' .. id, draw()
  local more = answer(group, key, id, token)
  call('HSET', key, 'state', 'running', 'worker', worker, 'revision', revision())
  if more then
    if more[5] then -- of the attempt before
      call('HDEL', key, 'started_at', 'progress')
    end
    count_client(queue, more[4], -1)
  end
  running[#running + 1] = string.format('%d %s', token, id)
  running[#running + 1] = more and more[6] and value .. '\nbatch:' .. more[6] or value
  changed[#changed + 1] = id
  if last == 0 then
    first = token
  end
  last = token
end

-- Jobs of one lane, of the highest priority there, through its gates if it has any; the lane goes behind all others of its next job's
-- priority.
-- Returns how many, and the new place of the lane, nil when it is empty.
local function serve(queue, lane, class, n, its_gates)
  local key = P .. 'lane:' .. queue .. ':' .. lane
  -- Not by ZPOPMIN: it prints the place of each, of which nothing but the priority is asked.
  local ids = call('ZRANGE', key, '-inf', '(' .. text_of(class + SPAN), 'BYSCORE', 'LIMIT', 0, n)
  local value = claim_value(ARGV[3], '-', queue, its_gates and gates.hearing(its_gates))
  local group = { queue, task_of_lane(lane), 100 - class / SPAN }
  for i = 1, #ids do
    claim(group, ids[i], queue, value)
    if its_gates then
      gates.take(its_gates, ids[i])
    end
  end
  if #ids > 0 then
    call('ZREMRANGEBYRANK', key, 0, #ids - 1)
  end
  groups[#groups + 1] = group
  count('queued', queue, -#ids)
  count('running', queue, #ids)
  local head = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  if not head then
    call('ZREM', P .. 'lanes:' .. queue, lane)
    call('ZREM', P .. 'open:' .. queue, lane)
    return #ids, nil
  end
  head = tonumber(head)
  local at = head - head % SPAN + draw()
  call('ZADD', P .. 'lanes:' .. queue, at, lane)
  call('ZADD', P .. 'open:' .. queue, at, lane)
  return #ids, at
end

local function meet(queue, tasks, left)
  local line, is_cut = {}, true
  local taken = 0
  while taken < left do
    if #line == 0 then
      if not is_cut then
        return taken
      end
      line, is_cut = line_up(queue, tasks, 16)
      if #line == 0 then
        return taken
      end
    end
    local lane = table.remove(line, 1)
    local class, n, at = lane[1] - lane[1] % SPAN, 0, nil
    local is_alone = (#line == 0 and not is_cut) or (#line > 0 and line[1][1] >= class + SPAN)
    local its_gates = gates and gates.of_lane(lane[2])
    local room = its_gates and gates.room(its_gates) or ALL
    if not is_open(queue, task_of_lane(lane[2])) then -- who may enqueue can write the index, but not open gates with it
      call('ZREM', P .. 'open:' .. queue, lane[2])
    elseif room > 0 then
      n, at = serve(queue, lane[2], class, math.min(left - taken, is_alone and 1000 or TURN, room), its_gates)
    elseif gates.is_tired() then
      return taken
    elseif gates.hold(queue, lane[2], lane[1], its_gates, tasks) then
      line, is_cut = {}, true
    end
    taken = taken + n
    if at and (not is_cut or (#line > 0 and at < line[#line][1])) then
      local place = 1
      while line[place] and line[place][1] < at do
        place = place + 1
      end
      table.insert(line, place, { at, lane[2] })
    end
  end
  return taken
end

end_batches()
local more = 0
if n_wants > 0 then
  flush()
  open_expired(now)
  local promoted = promote(now)
  local is_cut = gates and gates.look_after()
  local sets, taken, left_room = {}, 0, room or 0
  for w = wants, wants + n_wants * 4 - 1, 4 do
    local n, part = tonumber(ARGV[w + 1]), tonumber(ARGV[w + 2])
    sets[w] = cmsgpack.unpack(ARGV[w + 3])
    if most then
      n = math.min(n, most - taken)
    end
    if room and part > 0 then
      n = math.min(n, math.floor(left_room / part + 1e-9))
    end
    if n > 0 then
      is_cut = gates and gates.let_through(ARGV[w], sets[w]) or is_cut
      local got = meet(ARGV[w], sets[w], n)
      taken = taken + got
      left_room = left_room - got * part
    end
  end
  put('HSET', mine, running)
  if promoted == PROMOTE or is_cut then
    more = 1
  end
  for w = wants, wants + n_wants * 4 - 1, 4 do
    if tonumber(ARGV[w + 1]) > 0 then
      local lane
      if gates then
        more = gates.let_through(ARGV[w], sets[w]) and 1 or more
        lane = gates.next_open(ARGV[w], sets[w])
      else
        lane = line_up(ARGV[w], sets[w], 1)[1]
      end
      if lane then
        more = 1
        ring(ARGV[w], task_of_lane(lane[2])) -- whoever sleeps may have the rest
      end
    end
  end
  if gates then
    gates.ring_others()
  end
end
put('HDEL', mine, gone) -- after the new ones, so that the hash need not be made anew
finish()
if gates then
  gates.finish()
end
call('HSET', me, 'reply', more .. ' ' .. first .. ' ' .. last .. ' ' .. table.concat(refused, ' '))
return { refused, groups, #cancelled > 0 and call('SMEMBERS', P .. 'cancelling:' .. worker) or cancelled, more }
