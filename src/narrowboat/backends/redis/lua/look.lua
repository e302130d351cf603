#!lua flags=allow-oom
-- For a sleeper: is there work, and when will time alone bring some? Gates and jobs whose time has come are moved first.
-- ARGV: now or "", worker, [queue, n, set of tasks as MessagePack]...
-- Returns {1 if there is work, cancels asked of the worker, when to look again or "", known tasks with messages in their
-- inboxes}; with such, nothing else was looked at.

local worker = ARGV[2]
if not is_known_worker(worker) then
  return UNKNOWN
end
local cancels = tonumber(call('HGET', P .. 'cancels', worker) or 0)
call('DEL', P .. 'bell')
local tasks, inboxes, full = call('HKEYS', P .. 'known'), {}, {}
for i = 1, #tasks do
  inboxes[i] = P .. 'inbox:' .. tasks[i]
end
for i = 1, #tasks, MANY do
  if call('EXISTS', unpack(inboxes, i, math.min(i + MANY - 1, #tasks))) > 0 then
    for k = i, math.min(i + MANY - 1, #tasks) do
      if call('EXISTS', inboxes[k]) == 1 then
        full[#full + 1] = tasks[k]
      end
    end
  end
end
if #ARGV == 2 or full[1] then
  return { 0, cancels, '', full }
end
local now = clock(ARGV[1])
local again = open_expired(now)
promote(now)
finish()
local gates = gates_if_any(now)
local is_cut = gates and gates.look_after()

local queues_wanted = {}
for w = 3, #ARGV, 3 do
  queues_wanted[ARGV[w]] = true
  if tonumber(ARGV[w + 1]) > 0 then
    local tasks = cmsgpack.unpack(ARGV[w + 2])
    local lane
    if gates then
      is_cut = gates.let_through(ARGV[w], tasks) or is_cut
      lane = gates.next_open(ARGV[w], tasks)
    else
      lane = line_up(ARGV[w], tasks, 1)[1]
    end
    if lane then
      return { 1, cancels, '', {} }
    end
  end
end

local function sooner(at)
  again = again and math.min(again, at) or at
end

-- The next gate to be looked after. What one that is due has for others is theirs.
if is_cut then
  sooner(now)
end
if gates then
  local gate = call('ZRANGE', P .. 'due-gates', '(' .. text_of(now), '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  if gate[1] then
    sooner(tonumber(gate[2]))
  end
end

-- The first job of these queues to come due; if it is not among the first 100, then a look when those are.
local due = call('ZRANGE', P .. 'scheduled', 0, 99, 'WITHSCORES')
for i = 1, #due, 2 do
  if queues_wanted[call('HGET', P .. 'job:' .. due[i], 'queue')] or i == 199 then
    sooner(tonumber(due[i + 1]))
    break
  end
end
return { 0, cancels, again and text_of(again) or '', {} }
