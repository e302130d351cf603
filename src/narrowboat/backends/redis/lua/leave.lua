#!lua flags=allow-oom
-- Forget a worker; what it holds goes back, uncharged.
-- ARGV: now or "", worker

local now, worker = clock(ARGV[1]), ARGV[2]
give_back(worker, call('HKEYS', P .. 'running:' .. worker), now) -- as many as one worker holds
finish()
if is_known_worker(worker) then
  forget(worker)
end
