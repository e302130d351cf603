#!lua flags=no-writes
-- Jobs that match, newest first.
-- ARGV: number of fields, those, order to begin below or "+inf", most to find,
--       most to look at, queue or "", task or "", tag or "", batch or "", [states]... ("any" for all)
-- Returns {rows of {id, the fields, order}, order of the last job looked at, or 0 at the end}.

local n = tonumber(ARGV[1])
local at = n + 2
local below, most, looks = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
local queue, task, tag, states = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], {}
local batch = ARGV[at + 6]
for i = at + 7, #ARGV do
  states[ARGV[i]] = true
end

local function has_tag(about)
  if not about then
    return false
  end
  for _, each in ipairs(cjson.decode(about).tags or {}) do
    if each == tag then
      return true
    end
  end
  return false
end

local rows = {}

local function look(id, order)
  local key = P .. 'job:' .. id
  local job = call('HMGET', key, 'state', 'queue', 'task', 'about')
  if
    job[1]
    and (states.any or states[job[1]])
    and (queue == '' or job[2] == queue)
    and (task == '' or (job[3] or task_of(id)) == task)
    and (tag == '' or has_tag(job[4]))
  then
    rows[#rows + 1] = { id, call('HMGET', key, unpack(ARGV, 2, n + 1)), order }
  end
end

-- The jobs of some states, or of a task, by the structures that they are in, where these are few: nil if they are not.
local FEW, MOST_KEYS = 5000, 1000

local function those_few()
  if states.any and task == '' then
    return nil
  end
  local function has(state)
    return states.any or states[state]
  end
  local keys, size = {}, 0
  local function consider(command, key)
    size = size + call(command, key)
    keys[#keys + 1] = { command, key }
    return size <= FEW and #keys <= MOST_KEYS
  end
  if has('scheduled') and not consider('ZCARD', P .. 'scheduled') then
    return nil
  end
  if has('running') then
    for _, worker in ipairs(call('ZRANGE', P .. 'workers', 0, MOST_KEYS)) do
      if not consider('HLEN', P .. 'running:' .. worker) then
        return nil
      end
    end
  end
  for _, name in ipairs(queue ~= '' and { queue } or queues()) do
    if
      ((has('succeeded') or has('cancelled')) and not consider('ZCARD', P .. 'done:' .. name))
      or (has('dead') and not consider('ZCARD', P .. 'dead:' .. name))
    then
      return nil
    end
    if has('queued') then
      local lanes = call('ZRANGE', P .. 'lanes:' .. name, 0, MOST_KEYS)
      if #lanes > MOST_KEYS then
        return nil
      end
      for _, lane in ipairs(lanes) do
        if (task == '' or task_of_lane(lane) == task) and not consider('ZCARD', P .. 'lane:' .. name .. ':' .. lane) then
          return nil
        end
      end
    end
  end
  local jobs = {}
  for _, key in ipairs(keys) do
    local ids = key[1] == 'HLEN' and call('HKEYS', key[2]) or call('ZRANGE', key[2], 0, FEW)
    for i = 1, #ids do
      local id = key[1] == 'HLEN' and id_of(ids[i]) or ids[i]
      jobs[#jobs + 1] = { id, order_of(id) or 0 }
    end
  end
  table.sort(jobs, function(one, other)
    return one[2] > other[2]
  end)
  return jobs
end

local few = batch == '' and those_few()
if few then
  local top = below == '+inf' and math.huge or tonumber(below)
  for _, job in ipairs(few) do
    if job[2] < top then
      look(job[1], job[2])
      if #rows == most then
        return { rows, job[2] }
      end
    end
  end
  return { rows, 0 }
end

local looked, last = 0, 0
local all = batch == '' and P .. 'jobs' or P .. 'members:' .. batch
while looked < looks do
  local part = call('ZRANGE', all, '(' .. below, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 100, 'WITHSCORES')
  for i = 1, #part, 2 do
    looked, last, below = looked + 1, tonumber(part[i + 1]), part[i + 1]
    look(part[i], last)
    if #rows == most then
      return { rows, last }
    end
  end
  if #part < 200 then
    return { rows, 0 }
  end
end
return { rows, last }
