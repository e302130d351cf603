#!lua
-- Deal with a due time of a schedule, once: write its job, or pass it over.
-- ARGV: now or "", key of the schedule, due, then nothing, or a job as `write` takes it
-- Returns 1, or 0 if this or a later time was dealt with, or it is not due yet.

local now, due = clock(ARGV[1]), tonumber(ARGV[3])
local last = tonumber(call('HGET', P .. 'schedules', ARGV[2]) or 0)
if due <= last or due > now then
  return 0
end
call('HSET', P .. 'schedules', ARGV[2], ARGV[3])
if ARGV[4] then
  write(ARGV, 4, now, text_of(now), false)
  finish()
end
return 1
