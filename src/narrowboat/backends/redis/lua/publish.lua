#!lua flags=allow-oom
-- Make a worker known, with a fresh lease, and its tasks.
-- ARGV: now or "", worker, info as JSON, lease in seconds, [task, spec as JSON, its controls as MessagePack or ""]...

local now, worker = clock(ARGV[1]), ARGV[2]
local me = P .. 'worker:' .. worker
local names, has, controlled = {}, {}, nil
for i = 5, #ARGV, 3 do
  names[#names + 1] = ARGV[i]
  has[ARGV[i]] = true
  call('HSET', P .. 'specs', ARGV[i], ARGV[i + 1])
  if (call('HGET', P .. 'controls', ARGV[i]) or '') ~= ARGV[i + 2] then
    controlled = controlled or {}
    controlled[ARGV[i]] = true
    if ARGV[i + 2] ~= '' then
      call('HSET', P .. 'controls', ARGV[i], ARGV[i + 2])
    else
      call('HDEL', P .. 'controls', ARGV[i])
    end
  end
end
unlearn(worker, has)
learn(worker, names)
if controlled then
  reopen(nil, controlled, true) -- they meet their gates anew
end
-- stylua: ignore
call('HSET', me, 'info', ARGV[3], 'lease_s', ARGV[4], 'seen_at', now, 'tasks', table.concat(names, '\n'))
call('HSETNX', me, 'seq', 0)
call('ZADD', P .. 'workers', now + tonumber(ARGV[4]), worker)
