#!lua flags=allow-oom
-- Forget a worker; what it holds goes back, uncharged.
-- ARGV: now or "", worker

local now, worker = clock(ARGV[1]), ARGV[2]
local gates = gates_if_any(now)
local claims, names = call('HGETALL', P .. 'running:' .. worker), {} -- as many as one worker holds
for i = 1, #claims, 2 do
  names[#names + 1] = claims[i]
  if gates then
    gates.let_go_of(claims[i], claims[i + 1])
  end
end
give_back(worker, names, now)
finish()
if gates then
  gates.finish()
end
if is_known_worker(worker) then
  forget(worker)
end
