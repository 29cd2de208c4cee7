-- The main API's limits for all processes together: permits in flight, permits granted in the last second, and who waits.
-- ARGV: what to do, process, lease in µs, limits as the process last knew them (in flight, per second; '' for none),
-- then the arguments of the function. Times are those of this server, in µs.
-- A ticket is 'process:number:job' and becomes a permit when it is granted. Requests wait in lanes, one for each campaign,
-- and lanes take turns; urgent requests (lane '!') go first. Grants for another process go into its mailbox.
local KEY = 'scheduler:budget:'
local LIMITS, IN_FLIGHT, GRANTED, PROCESSES = KEY .. 'limits', KEY .. 'in_flight', KEY .. 'granted', KEY .. 'processes'
local TURNS, WAITING, MAILBOX = KEY .. 'turns', KEY .. 'waiting:', KEY .. 'mailbox:'
local URGENT = '!'
local SECOND, LOST_AFTER, KEPT_S = 1000000, 10000000, 120

local process, lease = ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * SECOND + time[2]
local kept = redis.call('HMGET', LIMITS, 'in_flight', 'per_second')  -- '' for none; missing after a loss of Redis
local most, per_second = tonumber(kept[1] or ARGV[4]), tonumber(kept[2] or ARGV[5])
local got = {}  -- own tickets that are granted by this call

-- Marks the process as alive, drops the permits of those that died, and times that a clock set back left in the future.
local function begin()
  redis.call('ZADD', PROCESSES, now, process)
  redis.call('EXPIRE', PROCESSES, KEPT_S)
  redis.call('ZREMRANGEBYSCORE', PROCESSES, '-inf', now - KEPT_S * SECOND)
  redis.call('ZREMRANGEBYSCORE', IN_FLIGHT, '-inf', now)
  redis.call('ZREMRANGEBYSCORE', IN_FLIGHT, now + 2 * lease, '+inf')
  local newest = redis.call('LINDEX', GRANTED, 0)
  if newest and tonumber(newest) > now then redis.call('DEL', GRANTED) end
end

-- The µs until a permit may be free: 0 for now, -1 if only the end of a request frees one.
local function wait()
  if most and redis.call('ZCARD', IN_FLIGHT) >= most then
    local first = redis.call('ZRANGE', IN_FLIGHT, 0, 0, 'WITHSCORES')
    return first[2] and math.max(1, tonumber(first[2]) - now) or -1
  end
  local nth = per_second and redis.call('LINDEX', GRANTED, per_second - 1)
  return nth and math.max(0, tonumber(nth) + SECOND - now) or 0
end

local function hold(ticket)
  redis.call('ZADD', IN_FLIGHT, now + lease, ticket)
  redis.call('EXPIRE', IN_FLIGHT, math.ceil(2 * lease / SECOND) + 1)
end

local function grant(ticket)
  hold(ticket)
  if per_second then
    redis.call('LPUSH', GRANTED, now)
    redis.call('LTRIM', GRANTED, 0, per_second - 1)
    redis.call('EXPIRE', GRANTED, KEPT_S)
  end
end

local function is_alive(ticket)
  local seen = redis.call('ZSCORE', PROCESSES, ticket:match('^[^:]*'))
  return seen and tonumber(seen) > now - LOST_AFTER
end

-- The first ticket of the lane whose turn it is; nil if nobody waits.
local function next_ticket()
  while true do
    local ticket = redis.call('LPOP', WAITING .. URGENT)
    if not ticket then
      local lane = redis.call('LPOP', TURNS)
      if not lane then return nil end
      ticket = redis.call('LPOP', WAITING .. lane)
      if redis.call('EXISTS', WAITING .. lane) == 1 then redis.call('RPUSH', TURNS, lane) end
    end
    if ticket and is_alive(ticket) then return ticket end
  end
end

local function dispatch()
  while wait() == 0 do
    local ticket = next_ticket()
    if not ticket then return end
    grant(ticket)
    local of = ticket:match('^[^:]*')
    if of == process then
      got[#got + 1] = ticket
    else
      redis.call('RPUSH', MAILBOX .. of, ticket)
      redis.call('EXPIRE', MAILBOX .. of, KEPT_S)
    end
  end
end

local function queue(lane, ticket)
  local place = WAITING .. lane
  if redis.call('RPUSH', place, ticket) == 1 and lane ~= URGENT then redis.call('RPUSH', TURNS, lane) end
  redis.call('EXPIRE', place, KEPT_S)
  redis.call('EXPIRE', TURNS, KEPT_S)
end

local actions = {}

function actions.acquire(lane, ticket)
  local nobody = redis.call('EXISTS', TURNS, WAITING .. URGENT) == 0
  if nobody and wait() == 0 then
    grant(ticket)
    got[1] = ticket
  else
    queue(lane, ticket)
    dispatch()
  end
end

-- For a process that waits: what is in its mailbox, and what time has freed.
function actions.poll()
  for _, ticket in ipairs(redis.call('LRANGE', MAILBOX .. process, 0, -1)) do got[#got + 1] = ticket end
  redis.call('DEL', MAILBOX .. process)
  dispatch()
end

function actions.release(...)
  redis.call('ZREM', IN_FLIGHT, ...)
  dispatch()
end

-- Ends the wait, also if the permit is on its way.
function actions.cancel(lane, ticket)
  redis.call('LREM', WAITING .. lane, 1, ticket)
  if redis.call('EXISTS', WAITING .. lane) == 0 then redis.call('LREM', TURNS, 0, lane) end
  actions.release(ticket)
end

-- Renews permits, and counts those that were given without this server while it was away.
function actions.hold(...)
  for _, ticket in ipairs({...}) do hold(ticket) end
end

begin()
actions[ARGV[1]](unpack(ARGV, 6))
return {got, wait(), redis.call('ZCOUNT', PROCESSES, now - 60 * SECOND, '+inf')}
