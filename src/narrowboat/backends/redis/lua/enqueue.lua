#!lua
-- Write new jobs, all or none, in order. Without memory for it the server refuses the whole script.
-- ARGV: now or "", number of limits, [queue, most waiting or "", most of each client or ""]..., number of batches, [id, when,
--       whether this is the last part, whether it is kept, summary, final job's id or "", final job as MessagePack]...,
--       number of jobs, jobs as `write` takes them.
-- Returns for each the id of the job that is there in its place, "" if it was written; or {"full", queue, client, waiting, own,
-- asked} for the limit that they would go past.

local now = clock(ARGV[1])
local now_text = text_of(now)
local at = 3
local limits, is_limited = {}, false
for _ = 1, tonumber(ARGV[2]) do
  limits[ARGV[at]] = { tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]) }
  is_limited = true
  at = at + 3
end
local n_batches, batches = tonumber(ARGV[at]), at + 1
at = batches + 7 * n_batches
local n = tonumber(ARGV[at])
at = at + 1
reserve(n + math.min(n, 16))

-- Which are new, by id: asked for all together, unless one of them is there or comes twice.
local function all_are_new()
  local keys, seen, i = {}, {}, at
  for _ = 1, n do
    local id = ARGV[i]
    if seen[id] then
      return false
    end
    seen[id] = true
    keys[#keys + 1] = P .. 'job:' .. id
    i = i + 11 + tonumber(ARGV[i + 10])
  end
  for from = 1, n, MANY do
    if call('EXISTS', unpack(keys, from, math.min(from + MANY - 1, n))) > 0 then
      return false
    end
  end
  return true
end

-- The first limit that they would go past: a client's own before that of all.
local function full()
  local ids, keys, asked, waiting, i = {}, {}, {}, {}, at
  for _ = 1, n do
    local id, task, queue, key, client = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 7], ARGV[i + 9]
    local limit = limits[queue]
    local is_there = ids[id] or call('EXISTS', P .. 'job:' .. id) == 1
    if not is_there and key ~= '' then
      is_there = keys[task .. ':' .. key] or key_holder(id, task, key, ARGV[i + 8], now)
    end
    if not is_there then
      ids[id] = true
      keys[task .. ':' .. key] = key ~= ''
      if limit then
        local name = queue .. '\n' .. client
        if not asked[name] then
          asked[name] = { queue = queue, client = client, n = 0 }
          asked[#asked + 1] = asked[name]
        end
        asked[name].n = asked[name].n + 1
        waiting[queue] = (waiting[queue] or 0) + 1
      end
    end
    i = i + 11 + tonumber(ARGV[i + 10])
  end
  for _, asker in ipairs(asked) do
    local limit = limits[asker.queue]
    local there = tonumber(call('HGET', P .. 'counts', 'queued:' .. asker.queue) or 0)
      + tonumber(call('HGET', P .. 'counts', 'scheduled:' .. asker.queue) or 0)
    if asker.client ~= '' and limit[2] then
      local own = math.min(limit[2], tonumber(call('HGET', P .. 'clients:' .. asker.queue, asker.client) or 0))
      if own + asker.n > limit[2] then
        return { 'full', asker.queue, asker.client, there, own, asker.n }
      end
    end
    if limit[1] and there + waiting[asker.queue] > limit[1] then
      return { 'full', asker.queue, '', there, 0, waiting[asker.queue] }
    end
  end
  return nil
end

local over = is_limited and full()
if over then
  return over
end
for i = batches, batches + 7 * n_batches - 1, 7 do
  local id = ARGV[i]
  local key = P .. 'batch:' .. id
  if call('EXISTS', key) == 0 then
    -- stylua: ignore
    call('HSET', key, 'when', ARGV[i + 1], 'kept', ARGV[i + 3], 'summary', ARGV[i + 4], 'final_id', ARGV[i + 5],
      'sealed', 0, 'total', 0, 'succeeded', 0, 'dead', 0, 'cancelled', 0, 'created_at', now_text, 'changed_at', now_text)
    if ARGV[i + 5] ~= '' then
      call('HSET', key, 'final', ARGV[i + 6])
    end
    call('ZADD', P .. 'batches', draw(), id)
  end
end
local is_new = n > 1 and all_are_new()
local answers = {}
for i = 1, n do
  answers[i], at = write(ARGV, at, now, now_text, is_new)
end
end_batches()
for i = batches, batches + 7 * n_batches - 1, 7 do
  local key = P .. 'batch:' .. ARGV[i]
  if ARGV[i + 2] == '1' then
    if ARGV[i + 3] == '0' and call('HGET', key, 'total') == '0' then
      forget_batch(ARGV[i])
    else
      call('HSET', key, 'sealed', 1, 'changed_at', now_text)
      finish_batch(ARGV[i], now)
    end
  end
end
local is_delayed = added[P .. 'scheduled'] ~= nil
local before = is_delayed and call('ZRANGE', P .. 'scheduled', 0, 0)[1]
finish()
if is_delayed then
  ring_for_the_first_due(before)
end
return answers
