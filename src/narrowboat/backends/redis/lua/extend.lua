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
  local scores = call('HMGET', mine, unpack(ARGV, from, upto))
  for i = from, upto do
    named[ARGV[i]] = true
    if not scores[i - from + 1] then
      lost[#lost + 1] = i - 4
    end
  end
end

local unnamed, gates = {}, nil
local claims = call('HGETALL', mine) -- as many as one worker holds
for i = 1, #claims, 2 do
  if not named[claims[i]] and tonumber((parts_of(claims[i + 1]))) <= seq then
    unnamed[#unnamed + 1] = claims[i]
    gates = gates or gates_at(now)
    gates.let_go_of(claims[i], claims[i + 1])
  end
end
give_back(worker, unnamed, now)
finish()
if gates then
  gates.finish()
end
return { lost, call('SMEMBERS', P .. 'cancelling:' .. worker) }
