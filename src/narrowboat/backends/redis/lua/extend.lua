#!lua flags=allow-oom
-- Renew the lease of a worker; give back what was claimed up to a step and is not named: its reply was lost.
-- ARGV: now or "", worker, seq, [claim ("<token> <id>")]...
-- Returns {indexes of the claims that are no longer its own, from 0; ids whose cancel was asked for}.

local worker, seq = ARGV[2], tonumber(ARGV[3])
local me, mine = P .. 'worker:' .. worker, P .. 'running:' .. worker
local lease = call('HGET', me, 'lease_s')
if not lease then
  return UNKNOWN
end
local now = clock(ARGV[1])
call('HSET', me, 'seen_at', now)
call('ZADD', P .. 'workers', now + tonumber(lease), worker)

local lost, named = {}, {}
for from = 4, #ARGV, 1000 do
  local upto = math.min(from + 999, #ARGV)
  local scores = call('ZMSCORE', mine, unpack(ARGV, from, upto))
  for i = from, upto do
    named[ARGV[i]] = true
    if not scores[i - from + 1] then
      lost[#lost + 1] = i - 4
    end
  end
end

local unnamed = {}
for _, claim in ipairs(call('ZRANGE', mine, '-inf', seq, 'BYSCORE')) do -- as many as one worker holds
  if not named[claim] then
    local id = string.match(claim, '^%d+ (.*)$')
    unnamed[#unnamed + 1] = { id = id, job = call('HMGET', P .. 'job:' .. id, unpack(RELEASED)) }
    remove(mine, claim)
  end
end
table.sort(unnamed, function(one, other)
  return tonumber(one.job[5]) < tonumber(other.job[5])
end)
for _, each in ipairs(unnamed) do
  release(each.id, worker, each.job, 'queued', 0, now)
end
finish()
return { lost, call('SMEMBERS', P .. 'cancelling:' .. worker) }
