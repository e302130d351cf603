#!lua flags=allow-oom
-- Move messages from the inbox of a task into jobs: each leaves the one and is in the other at the same moment. A message
-- that is not at the head any more has been moved by another worker.
-- ARGV: now or "", task, number of messages, [message, reason why it cannot be read or "", number of words, a job as `write`
--       takes it]...
-- Returns how many were moved.

local now, task = clock(ARGV[1]), ARGV[2]
local now_text, inbox = text_of(now), P .. 'inbox:' .. task
local moved, at = 0, 4
reserve(2 * tonumber(ARGV[3]) + 2)
for _ = 1, tonumber(ARGV[3]) do
  local message, reason, words = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  if call('LINDEX', inbox, 0) ~= message then
    break
  end
  call('LPOP', inbox)
  moved = moved + 1
  if reason == '' then
    write(ARGV, at + 3, now, now_text, false)
  else
    local id, queue, n = ARGV[at + 3], ARGV[at + 5], tonumber(ARGV[at + 13])
    call('HSET', P .. 'job:' .. id, 'queue', queue, 'enqueued_at', now_text, unpack(ARGV, at + 14, at + 13 + n))
    add(P .. 'jobs', draw(), id)
    to_end(id, queue, 'dead', reason, nil, now)
  end
  at = at + 3 + words
end
finish()
return moved
