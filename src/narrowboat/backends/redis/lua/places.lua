#!lua flags=no-writes
-- Places in line. ARGV: [id]...
-- Returns how many stand before each job in its lane; false for one that is not queued.

local places = {}
for i = 1, #ARGV do
  local job = call('HMGET', P .. 'job:' .. ARGV[i], 'state', 'queue', 'task', 'lane_key')
  places[i] = job[1] == 'queued'
    and call('ZRANK', P .. 'lane:' .. job[2] .. ':' .. lane_name(job[3] or task_of(ARGV[i]), job[4]), ARGV[i])
end
return places
