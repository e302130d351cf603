#!lua flags=allow-oom
-- Make a worker known, with a fresh lease, and its tasks.
-- ARGV: now or "", worker, info as JSON, lease in seconds, [task, spec as JSON]...

local now, worker = clock(ARGV[1]), ARGV[2]
local me = P .. 'worker:' .. worker
local names, has = {}, {}
for i = 5, #ARGV, 2 do
  names[#names + 1] = ARGV[i]
  has[ARGV[i]] = true
  call('HSET', P .. 'specs', ARGV[i], ARGV[i + 1])
end
unlearn(worker, has)
learn(worker, names)
-- stylua: ignore
call('HSET', me, 'info', ARGV[3], 'lease_s', ARGV[4], 'seen_at', now, 'tasks', table.concat(names, '\n'))
call('HSETNX', me, 'seq', 0)
call('ZADD', P .. 'workers', now + tonumber(ARGV[4]), worker)
