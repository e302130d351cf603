#!lua flags=allow-oom
-- Forget a worker; what it holds goes back, uncharged.
-- ARGV: now or "", worker

local now, worker = clock(ARGV[1]), ARGV[2]
local mine, jobs = P .. 'running:' .. worker, {}
for _, claim in ipairs(call('ZRANGE', mine, 0, -1)) do -- as many as one worker holds
  local id = string.match(claim, '^%d+ (.*)$')
  jobs[#jobs + 1] = { id = id, job = call('HMGET', P .. 'job:' .. id, unpack(RELEASED)) }
  remove(mine, claim)
end
table.sort(jobs, function(one, other)
  return tonumber(one.job[5]) < tonumber(other.job[5])
end)
for _, each in ipairs(jobs) do
  release(each.id, worker, each.job, 'queued', 0, now)
end
finish()
if is_known_worker(worker) then
  forget(worker)
end
