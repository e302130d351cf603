#!lua flags=allow-oom
-- Forget gates that can be forgotten, see `idle_at` in core/controls.py: a part of them at a time.
-- ARGV: now or "", where to go on, "0" to begin
-- Returns where to go on, "0" at the end.

local REMEMBERED_S = 2592000
local now = clock(ARGV[1])
local part = call('HSCAN', P .. 'meters', ARGV[2], 'COUNT', 1000)
local gone = {}
for i = 1, #part[2], 2 do
  local meter = cmsgpack.unpack(part[2][i + 1])
  local idle_at, failures, history = meter.full_at or 0, meter.failures or {}, meter.history or {}
  if #failures > 0 then
    idle_at = math.max(idle_at, failures[#failures] + REMEMBERED_S)
  end
  if #history > 0 then
    idle_at = math.max(idle_at, history[#history][1] + REMEMBERED_S)
  end
  if not (meter.running or meter['until'] or meter.override) and idle_at <= now then
    gone[#gone + 1] = part[2][i]
  end
end
put('HDEL', P .. 'meters', gone)
return part[1]
