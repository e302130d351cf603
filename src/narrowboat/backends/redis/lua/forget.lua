#!lua flags=allow-oom
-- Forget gates without whose memory nothing would change: a part of them at a time.
-- ARGV: now or "", where to go on, "0" to begin
-- Returns where to go on, "0" at the end.

local now = clock(ARGV[1])
local part = call('HSCAN', P .. 'meters', ARGV[2], 'COUNT', 1000)
local gone = {}
for i = 1, #part[2], 2 do
  local meter = cmsgpack.unpack(part[2][i + 1])
  local full_at = meter.full_at or 0
  meter.full_at, meter.since, meter.reason = nil, nil, nil
  if not next(meter) and full_at <= now then
    gone[#gone + 1] = part[2][i]
  end
end
put('HDEL', P .. 'meters', gone)
return part[1]
