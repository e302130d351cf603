#!lua flags=no-writes
-- Whole jobs. ARGV: [id]...
-- Returns {fields and values, attempts as JSON} for each; the first is empty where there is no job.

local jobs = {}
for i = 1, #ARGV do
  jobs[i] = { call('HGETALL', P .. 'job:' .. ARGV[i]), call('LRANGE', P .. 'history:' .. ARGV[i], 0, -1) }
end
return jobs
