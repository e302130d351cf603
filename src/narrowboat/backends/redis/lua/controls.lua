-- Controls: what their gates remember, and the lines of lanes that wait before them. It stands after what all verbs share,
-- before those that need it. What is decided here says core/controls.py, too: the same operations in the same order, so
-- that numbers come out the same to the last bit. Most have no controls: so all of this is one function, called when there are some.
--
-- `controls`: task -> its Controls as MessagePack; there only when some task has any. `meters`: scope -> Meter as MessagePack,
-- without what is zero. A lane that meets a gate with no room leaves the index and joins `lines:<scope>`, by its place in
-- the index; `held` says of each such lane before which gate. `due-gates`: scope -> when its line is to be looked after; not
-- there: when something happens to it. `breakers`: those that are open.

local ALL, NEVER, HISTORY, NEVER_MORE = 1073741824, 1e18, 20, 6
local DUE = 100 -- gates that one script looks after
local BACK = 1000 -- lanes that come back from one line in one go
local HOLD = 1000 -- lanes that one script holds
local RUNG = 16 -- lanes of a line whose bells are rung

-- Who may enqueue can write lines, too: what is there need not be the queue and the name of a lane.
local function out_of_line(name)
  local queue, lane = string.match(name, '^([^\n]*)\n(.*)$')
  return queue or '', lane or ''
end

-- What can be done with gates at a time, for one script.
local function gates_at(now)
  local controls, roomy = {}, {} -- of tasks; the gates that are due and let something through, by scope
  local meters, written, touched = {}, {}, {} -- scope -> meter, -> true if it is to be written, or its line looked after
  local held_now = 0

  local function controls_of(task)
    if controls[task] == nil then
      local packed = call('HGET', P .. 'controls', task)
      controls[task] = packed and cmsgpack.unpack(packed) or false
    end
    return controls[task] or nil
  end

  local function meter_of(scope)
    local meter = meters[scope]
    if not meter then
      local packed = call('HGET', P .. 'meters', scope)
      meter = packed and cmsgpack.unpack(packed) or {}
      meter.full_at, meter.running, meter.since = meter.full_at or 0, meter.running or 0, meter.since or 0
      meter['until'], meter.probe, meter.reason = meter['until'] or 0, meter.probe or '', meter.reason or ''
      meter.failures, meter.history = meter.failures or {}, meter.history or {}
      meters[scope] = meter
    end
    return meter
  end

  -- To be written; then the line before it is looked after.
  local function touch(scope)
    written[scope], touched[scope] = true, true
    return meter_of(scope)
  end

  -- The gates of a lane, with the numbers that hold now.
  local function gates_of(task, key)
    local own, gates = controls_of(task), {}
    if own then
      for _, kind in ipairs({ 'breaker', 'rate', 'limit' }) do
        local control = own[kind]
        if control then
          local scope = kind .. ':' .. ((own.per ~= '' and control.key == own.per) and key or control.key)
          local meter = meter_of(scope)
          gates[#gates + 1] = { scope = scope, meter = meter, control = meter.override or control }
        end
      end
    end
    return gates
  end

  local function gates_of_lane(lane)
    local task, key = string.match(lane, '^([^:]*):?(.*)$')
    return gates_of(task, key)
  end

  -- When a gate lets the next job through.
  local function opens_at(gate)
    local control, meter = gate.control, gate.meter
    if control.type == 'rate' then
      return meter.full_at - (control.burst - 1) * control.interval_s
    elseif control.type == 'limit' then
      return NEVER
    end
    return meter.probe ~= '' and NEVER or meter['until']
  end

  -- How many jobs a gate lets through now.
  local function room_of(gate)
    local control, meter = gate.control, gate.meter
    if control.type == 'rate' then
      local spare = now - opens_at(gate)
      return spare >= 0 and math.min(control.burst, math.floor(spare / control.interval_s + 1e-9) + 1) or 0
    elseif control.type == 'limit' then
      return math.max(0, control.most - meter.running)
    elseif meter['until'] == 0 then
      return ALL
    end
    return (meter.probe ~= '' or now < meter['until']) and 0 or 1
  end

  local function room_of_all(gates)
    local room = ALL
    for i = 1, #gates do
      room = math.min(room, room_of(gates[i]))
    end
    return room
  end

  -- A job goes through.
  local function take(gates, id)
    for i = 1, #gates do
      local control, meter = gates[i].control, gates[i].meter
      if control.type == 'rate' then
        meter.full_at = math.max(meter.full_at, now) + control.interval_s
        written[gates[i].scope] = true
      elseif control.type == 'limit' then
        meter.running = meter.running + 1
        written[gates[i].scope] = true
      elseif meter['until'] > 0 then
        meter.probe = id
        written[gates[i].scope] = true
      end
    end
  end

  -- Which of these gates want to hear of the end of a job that goes through now, one a line; nil for none.
  local function hearing(gates)
    local scopes = {}
    for i = 1, #gates do
      if gates[i].control.type == 'limit' or (gates[i].control.type == 'breaker' and gates[i].meter['until'] > 0) then
        scopes[#scopes + 1] = gates[i].scope
      end
    end
    return scopes[1] and table.concat(scopes, '\n') or nil
  end

  -- A job that went through these gates runs no more.
  local function let_go(passed, id)
    for scope in string.gmatch(passed or '', '[^\n]+') do
      local meter = touch(scope)
      if string.sub(scope, 1, 6) == 'limit:' then
        meter.running = meter.running - 1
      elseif meter.probe == id then -- nobody has said how it ended
        meter.probe = ''
      end
    end
  end

  -- The same for a claim and its value, as they stand in `running:<worker>`.
  local function let_go_of(claim, value)
    local _, _, _, passed = parts_of(value)
    let_go(passed, id_of(claim))
  end

  local function remember(meter, what)
    local history = meter.history
    history[#history + 1] = { now, what }
    if #history > HISTORY then
      table.remove(history, 1)
    end
  end

  local function trip(meter, reason, until_)
    meter['until'], meter.since, meter.reason = until_, now, reason
    meter.probe, meter.failures = '', {}
    remember(meter, 'opened by hand')
  end

  -- Returns whether it was open.
  local function close(meter)
    if meter['until'] == 0 then
      return false
    end
    meter['until'], meter.probe, meter.failures, meter.reason = 0, '', {}, ''
    remember(meter, 'closed')
    return true
  end

  -- A failure of the kinds that a breaker counts. Returns whether the attempt is charged.
  local function failed(gate, id, reason)
    local control, meter = gate.control, touch(gate.scope)
    if meter['until'] > 0 then
      if meter.probe == id then
        meter.probe, meter['until'] = '', now + control.retry_after_s
        remember(meter, 'probe failed')
      end
      return false
    end
    local recent = {}
    for _, at in ipairs(meter.failures) do
      if at > now - control.within_s then
        recent[#recent + 1] = at
      end
    end
    recent[#recent + 1] = now
    if #recent < control.failures then
      meter.failures = recent
    else
      meter.failures, meter.probe = {}, ''
      meter['until'], meter.since, meter.reason = now + control.retry_after_s, now, reason
      remember(meter, 'opened')
    end
    return true
  end

  -- Shut a task without a rate, unless it is shut for longer.
  local function slow_task(task, until_)
    local scope = 'task:' .. task
    local there = call('HGET', P .. 'gates', scope)
    local gate = there and cjson.decode(there) or { ['until'] = 0 }
    local before = gate['until']
    if type(before) ~= 'number' or before >= until_ then
      return
    elseif before <= now then
      gate = { kind = 'slow-down', reason = 'a service asked to slow down', since = now }
    end
    -- stylua: ignore
    call('HSET', P .. 'gates', scope, '{"scope":' .. cjson.encode(scope) .. ',"kind":' .. cjson.encode(gate.kind)
      .. ',"reason":' .. cjson.encode(gate.reason) .. ',"until":' .. text_of(until_) .. ',"since":' .. text_of(gate.since) .. '}')
    reopen_scope(scope)
  end

  -- Let the gates of a job know how it ended, unless it was released. end_: a settlement as step.lua takes it, which becomes
  -- another one, without the jobs that it carries, where the failure was that of a service.
  local function heed(id, end_, task, key, snoozes)
    local own, reason, slow = controls_of(task), end_[7], end_[8]
    if slow > 0 and not (own and own.rate) then
      slow_task(task, now + slow)
    end
    for _, gate in ipairs(gates_of(task, key)) do
      local control, meter = gate.control, gate.meter
      if control.type == 'rate' then
        if slow > 0 then
          meter.full_at = math.max(meter.full_at, now + slow + (control.burst - 1) * control.interval_s)
          written[gate.scope] = true
        end
      elseif control.type == 'breaker' then
        if reason then
          if not failed(gate, id, reason) then
            end_[1], end_[2], end_[4], end_[6] = 'scheduled', 'snoozed', '', {}
            end_[3] = control.retry_after_s * 2 ^ math.min(snoozes + 1, NEVER_MORE)
          end
        elseif meter['until'] > 0 and meter.probe == id then
          touch(gate.scope).probe = ''
          if end_[2] == 'succeeded' or end_[2] == 'failed' or slow > 0 then
            close(meter)
          end
        end
      end
    end
  end

  -- Say when the line before a gate without room is to be looked after.
  local function look_again(gate)
    local at = opens_at(gate)
    if at < NEVER then
      call('ZADD', P .. 'due-gates', text_of(at), gate.scope)
    else
      call('ZREM', P .. 'due-gates', gate.scope)
    end
  end

  -- A lane that has left a line returns to the index, if it has jobs and no pause keeps it. Returns whether it has.
  local function come_back(name, queue, lane)
    call('HDEL', P .. 'held', name)
    local at = call('ZSCORE', P .. 'lanes:' .. queue, lane)
    if not at or not is_open(queue, task_of_lane(lane)) then
      return false
    end
    call('ZADD', P .. 'open:' .. queue, at, lane)
    return true
  end

  -- Lanes come back from the line of a gate: those whose turn it is first, until as many serve a wish as there is room for,
  -- at most `most`. Others that stand before them come back, too, and are for whoever listens. Returns whether any came, and
  -- whether it had to stop before.
  local function let_through(scope, queue, tasks, most)
    local gate, line, wanted, back = roomy[scope], P .. 'lines:' .. scope, 0, 0
    local room = math.min(gate == true and ALL or room_of(gate), most)
    while wanted < room and back < BACK do
      local n = math.min(room - wanted, BACK - back)
      local popped = call('ZPOPMIN', line, n)
      for i = 1, #popped, 2 do
        local its_queue, lane = out_of_line(popped[i])
        back = back + 1
        if come_back(popped[i], its_queue, lane) then
          if its_queue == queue and (tasks[lane] or tasks[task_of_lane(lane)]) then
            wanted = wanted + 1
          else
            ring(its_queue, task_of_lane(lane))
          end
        end
      end
      if #popped < 2 * n then
        call('ZREM', P .. 'due-gates', scope)
        roomy[scope] = nil
        return back > 0, false
      end
    end
    return back > 0, wanted < room
  end

  -- The same for all gates with room. Returns whether it had to stop before.
  local function let_all_through(queue, tasks)
    local is_cut = false
    local scopes = {}
    for scope in pairs(roomy) do
      scopes[#scopes + 1] = scope
    end
    for _, scope in ipairs(scopes) do
      local _, stopped = let_through(scope, queue, tasks, ALL)
      is_cut = is_cut or stopped
    end
    return is_cut
  end

  -- A lane joins the line of the first of its gates that lets nothing through. Another may have its part of the room of the
  -- other ones. Returns whether lanes came back.
  local function hold(queue, lane, at, gates, tasks)
    local has_back = false
    held_now = held_now + 1
    call('ZREM', P .. 'open:' .. queue, lane)
    for i = 1, #gates do
      if room_of(gates[i]) == 0 then
        local name = in_line(queue, lane)
        call('ZADD', P .. 'lines:' .. gates[i].scope, text_of(at), name)
        call('HSET', P .. 'held', name, gates[i].scope)
        look_again(gates[i])
        break
      end
    end
    for i = 1, #gates do
      if roomy[gates[i].scope] then
        has_back = let_through(gates[i].scope, queue, tasks, 1) or has_back
      end
    end
    return has_back
  end

  local function is_tired()
    return held_now >= HOLD
  end

  -- The lane that serves a wish next, as {score, lane}; nil for none. Those that meet a gate without room join its line.
  local function next_open(queue, tasks)
    while true do
      local lane = line_up(queue, tasks, 1)[1]
      local gates = lane and gates_of_lane(lane[2])
      if not lane or is_tired() or room_of_all(gates) > 0 then
        return lane
      end
      hold(queue, lane[2], lane[1], gates, tasks)
    end
  end

  local function ring_line(scope)
    for _, name in ipairs(call('ZRANGE', P .. 'lines:' .. scope, 0, RUNG - 1)) do
      local queue, lane = out_of_line(name)
      ring(queue, task_of_lane(lane))
    end
  end

  -- The lines of gates to which something has happened are to be looked after. Returns the scopes of those who have one.
  local function mark_due()
    local scopes = {}
    if next(touched) and call('EXISTS', P .. 'held') == 1 then
      for scope in pairs(touched) do
        if call('EXISTS', P .. 'lines:' .. scope) == 1 then
          call('ZADD', P .. 'due-gates', 0, scope)
          scopes[#scopes + 1] = scope
        end
      end
    end
    touched = {}
    return scopes
  end

  -- Find the gates that are due and let something through. Returns whether there are more.
  local function look_after()
    mark_due()
    local due = call('ZRANGE', P .. 'due-gates', '-inf', text_of(now), 'BYSCORE', 'LIMIT', 0, DUE)
    for _, scope in ipairs(due) do
      local head = call('ZRANGE', P .. 'lines:' .. scope, 0, 0)[1]
      if not head then
        call('ZREM', P .. 'due-gates', scope)
      else
        roomy[scope] = true -- also when those in line go through it no more
        local _, lane = out_of_line(head)
        for _, gate in ipairs(gates_of_lane(lane)) do
          if gate.scope == scope then
            roomy[scope] = gate
            if room_of(gate) == 0 then
              roomy[scope] = nil
              look_again(gate)
            end
          end
        end
      end
    end
    return #due == DUE
  end

  -- What is left of the room of gates is for others.
  local function ring_others()
    for scope, gate in pairs(roomy) do
      if gate == true or room_of(gate) > 0 then
        ring_line(scope)
      end
    end
  end

  -- Write what gates remember.
  local function write_meters()
    local values, gone = {}, {}
    for scope in pairs(written) do
      local meter, kept = meters[scope], {}
      for name, value in pairs(meter) do
        if value ~= 0 and value ~= '' and (type(value) ~= 'table' or next(value)) then
          kept[name] = value
        end
      end
      if next(kept) then
        values[#values + 1] = scope
        values[#values + 1] = cmsgpack.pack(kept)
      else
        gone[#gone + 1] = scope
      end
      if string.sub(scope, 1, 8) == 'breaker:' then
        call(meter['until'] > 0 and 'SADD' or 'SREM', P .. 'breakers', scope)
      end
    end
    put('HSET', P .. 'meters', values)
    put('HDEL', P .. 'meters', gone)
    written = {}
  end

  -- The end of a verb that has changed what gates remember, and does not claim.
  local function finish_gates()
    write_meters()
    for _, scope in ipairs(mark_due()) do
      ring_line(scope)
    end
  end

  return {
    of_lane = gates_of_lane,
    room = room_of_all,
    take = take,
    hearing = hearing,
    let_go = let_go,
    let_go_of = let_go_of,
    heed = heed,
    touch = touch,
    trip = trip,
    close = close,
    look_after = look_after,
    let_through = let_all_through,
    hold = hold,
    is_tired = is_tired,
    next_open = next_open,
    ring_others = ring_others,
    finish = finish_gates,
  }
end

-- The same, or nil where no task has controls and no gate remembers any.
local function gates_if_any(now)
  return call('EXISTS', P .. 'controls', P .. 'meters') > 0 and gates_at(now) or nil
end
