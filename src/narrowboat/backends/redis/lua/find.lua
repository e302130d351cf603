#!lua flags=no-writes
-- Jobs that match, newest first.
-- ARGV: number of fields, those (the first four: state, queue, task, about), order to begin below or "+inf", most to find,
--       most to look at, queue or "", task or "", tag or "", [states]... ("any" for all)
-- Returns {rows of {id, the fields, order}, order of the last job looked at, or 0 at the end}.

local n = tonumber(ARGV[1])
local at = n + 2
local below, most, looks = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
local queue, task, tag, states = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], {}
for i = at + 6, #ARGV do
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

local rows, looked, last = {}, 0, 0
while looked < looks do
  local part = call('ZRANGE', P .. 'jobs', '(' .. below, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 100, 'WITHSCORES')
  for i = 1, #part, 2 do
    local id = part[i]
    local job = call('HMGET', P .. 'job:' .. id, unpack(ARGV, 2, n + 1))
    looked, last, below = looked + 1, tonumber(part[i + 1]), part[i + 1]
    if
      (states.any or states[job[1]])
      and (queue == '' or job[2] == queue)
      and (task == '' or (job[3] or task_of(id)) == task)
      and (tag == '' or has_tag(job[4]))
    then
      rows[#rows + 1] = { id, job, last }
      if #rows == most then
        return { rows, last }
      end
    end
  end
  if #part < 200 then
    return { rows, 0 }
  end
end
return { rows, last }
