#!lua flags=allow-oom
-- Take over the claims of workers whose lease is over, or that are known to be gone. Workers without claims are forgotten.
-- ARGV: now or "", rescuer, most, [workers known to be gone]...
-- Returns claims as rows: args, about, enqueued_at, errors, crashes, snoozes, started_at, id, token, priority, queue, lane,
-- lost worker.

local rescuer, most = ARGV[2], tonumber(ARGV[3])
local seq = call('HGET', P .. 'worker:' .. rescuer, 'seq')
if not seq then
  return UNKNOWN
end
local now = clock(ARGV[1])
local lost, seen = {}, { [rescuer] = true }
local function consider(worker)
  if not seen[worker] then
    seen[worker] = true
    lost[#lost + 1] = worker
  end
end
for _, worker in ipairs(call('ZRANGE', P .. 'workers', '-inf', '(' .. text_of(now), 'BYSCORE', 'LIMIT', 0, 100)) do
  consider(worker)
end
for i = 4, #ARGV do
  if is_known_worker(ARGV[i]) then
    consider(ARGV[i])
  end
end

local rows = {}
for _, worker in ipairs(lost) do
  local theirs, mine = P .. 'running:' .. worker, P .. 'running:' .. rescuer
  local claims = #rows < most and call('ZRANGE', theirs, 0, most - #rows - 1) or {}
  for _, claim in ipairs(claims) do
    local id, token = string.match(claim, '^%d+ (.*)$'), draw()
    local key = P .. 'job:' .. id
    -- stylua: ignore
    local row = call('HMGET', key, 'args', 'about', 'enqueued_at', 'errors', 'crashes', 'snoozes', 'started_at')
    local job = call('HMGET', key, 'priority', 'queue', 'task', 'lane_key', 'cancel')
    row[8], row[9], row[10], row[11] = id, token, tonumber(job[1] or 0), job[2]
    row[12], row[13] = lane_name(job[3] or task_of(id), job[4]), worker
    rows[#rows + 1] = row
    call('ZREM', theirs, claim)
    -- The rescuer has surely heard of this claim when it has heard the reply to its next step.
    call('ZADD', mine, tonumber(seq) + 1, token .. ' ' .. id)
    call('HSET', key, 'holder', rescuer, 'revision', token)
    if job[5] then
      call('SREM', P .. 'cancelling:' .. worker, id)
      call('SADD', P .. 'cancelling:' .. rescuer, id)
    end
    changed[#changed + 1] = id
  end
  if call('EXISTS', theirs) == 0 then
    forget(worker)
  end
end
finish()
return rows
