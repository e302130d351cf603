#!lua flags=allow-oom
-- Take over the claims of workers that are gone. Workers without claims are forgotten.
-- ARGV: rescuer, most, [workers that are gone]...
-- Returns claims as rows: args, about, enqueued_at, errors, crashes, snoozes, started_at, id, token, priority, queue, task,
-- lost worker.

local rescuer, most = ARGV[1], tonumber(ARGV[2])
local seq = call('HGET', P .. 'worker:' .. rescuer, 'seq')
if not seq then
  return UNKNOWN
end
local lost = {}
for i = 3, #ARGV do
  if ARGV[i] ~= rescuer and is_known_worker(ARGV[i]) then
    lost[#lost + 1] = ARGV[i]
  end
end

local rows = {}
for _, worker in ipairs(lost) do
  local theirs, mine = P .. 'running:' .. worker, P .. 'running:' .. rescuer
  local claims = #rows < most and call('HGETALL', theirs) or {} -- as many as one worker holds
  for i = 1, math.min(#claims, 2 * (most - #rows)), 2 do
    local id, token = id_of(claims[i]), draw()
    local key = P .. 'job:' .. id
    -- stylua: ignore
    local row = call('HMGET', key, 'args', 'about', 'enqueued_at', 'errors', 'crashes', 'snoozes', 'started_at')
    local job = call('HMGET', key, 'priority', 'queue', 'task', 'lane_key', 'cancel')
    row[8], row[9], row[10], row[11] = id, token, tonumber(job[1] or 0), job[2]
    row[12], row[13] = job[3] or task_of(id), worker
    rows[#rows + 1] = row
    local _, _, _, passed, batch = parts_of(claims[i + 1])
    call('HDEL', theirs, claims[i])
    -- The rescuer has surely heard of this claim when it has heard the reply to its next step.
    call('HSET', mine, token .. ' ' .. id, claim_value(tonumber(seq) + 1, '?', job[2], passed, batch))
    call('HSET', key, 'holder', rescuer, 'revision', revision())
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
