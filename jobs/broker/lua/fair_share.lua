-- What else fair shares need (see enter.lua): how IDs leave a list, wait aside and return.

-- The active pauses ("campaign:c-1", "type:T", "queue:low"), filled in by fetch.lua. A job of a paused type or campaign is
-- parked in a list per queue and pause when a worker first meets it, and returns to its queue when the pause ends.
-- The same goes for jobs that only a newer release can read ("newer:TYPE:2"), until a worker of that release fetches.
local paused = {}
local PARKED = 'scheduler:parked'
local function parked_key(place) return PARKED .. ':' .. place end

local function next_of(queue, campaign)
  local id = redis.call('LPOP', backlog_key(queue, campaign))
  if id and redis.call('HINCRBY', backlogged_key(queue), campaign, -1) <= 0 then
    redis.call('HDEL', backlogged_key(queue), campaign)
  elseif not id then
    redis.call('HDEL', backlogged_key(queue), campaign)
  end
  return id
end

-- Called when an ID of the campaign has left the list: its next ID enters, unless the campaign is paused.
local function leave(queue, campaign)
  local waits = not paused['campaign:' .. campaign] and redis.call('HEXISTS', backlogged_key(queue), campaign) == 1
  local id = waits and next_of(queue, campaign)
  if id then
    redis.call('RPUSH', list_key(queue), id)
  elseif redis.call('HINCRBY', share_key(queue), campaign, -1) <= 0 then
    redis.call('HDEL', share_key(queue), campaign)
  end
end

-- Fills a backlogged campaign's share of the list; returns how many IDs entered.
local function fill(queue, campaign, share)
  local entered = 0
  while tonumber(redis.call('HGET', share_key(queue), campaign) or 0) < share do
    local id = next_of(queue, campaign)
    if not id then break end
    redis.call('HINCRBY', share_key(queue), campaign, 1)
    redis.call('RPUSH', list_key(queue), id)
    entered = entered + 1
  end
  return entered
end

-- Called when the list is empty: drops stale share counts (of jobs whose hash was lost) and fills the shares of all
-- backlogged campaigns; returns how many IDs entered.
local function refill(queue, share)
  redis.call('DEL', share_key(queue))
  local entered = 0
  for _, campaign in ipairs(redis.call('HKEYS', backlogged_key(queue))) do
    if not paused['campaign:' .. campaign] then entered = entered + fill(queue, campaign, share) end
  end
  return entered
end

-- A job's type, campaign, payload version (absent for 1) and failures (absent for none); empty if its hash lacks one of
-- the first two or is no hash.
local function job_fields(id)
  local kept = redis.pcall('HMGET', 'rq:job:' .. id, 'type', 'campaign', 'version', 'failures')
  return kept[1] and kept[2] and kept or {}
end

-- Where a job waits for workers of a newer release, or nothing if a release that `reads` these versions can run it.
local function place_of_newer(kept, reads)
  local version = tonumber(kept[3] or 1) or 1
  if kept[1] and version > (reads[kept[1]] or 0) then return string.format('newer:%s:%d', kept[1], version) end
end

-- The pause that applies to a job, if any.
local function pause_of(type, campaign)
  if paused['campaign:' .. campaign] then return 'campaign:' .. campaign end
  if paused['type:' .. type] then return 'type:' .. type end
end

local function park(queue, pause, id)
  local place = queue .. ':' .. pause
  redis.call('SADD', PARKED, place)
  redis.call('RPUSH', parked_key(place), id)
end

-- Returns up to `most` IDs of an ended pause to their queue; returns how many.
local function unpark(place, pause, share, most)
  local queue, entered = place:sub(1, #place - #pause - 1), 0
  while entered < most do
    local id = redis.call('LPOP', parked_key(place))
    if not id then
      redis.call('SREM', PARKED, place)
      local campaign = pause:match('^campaign:(.*)$')
      if campaign then fill(queue, campaign, share) end
      break
    end
    local campaign = job_fields(id)[2]
    if campaign then enter(queue, campaign, id, share) end
    entered = entered + 1
  end
  return entered
end

local function unparked(queue, campaign, id)
  local newer = place_of_newer(job_fields(id), {})
  if newer and redis.call('LREM', parked_key(queue .. ':' .. newer), 1, id) > 0 then return 1 end
  for _, pause in ipairs({'campaign:' .. campaign, 'type:' .. (job_fields(id)[1] or '')}) do
    if redis.call('LREM', parked_key(queue .. ':' .. pause), 1, id) > 0 then return 1 end
  end
  return 0
end

-- Limits of concurrency. Jobs of a type that has its limit running wait aside: in a list, shares and backlogs of their
-- own, as if "queue|TYPE" were a queue, so that campaigns take turns there too and nothing else waits for them.
-- A sorted set for each limited type has the IDs that run, by when their workers must have renewed them.
local ASIDE = 'scheduler:aside'
local function running_key(type) return 'scheduler:running:' .. type end

local room = {}  -- free places of the limited types, filled in by count_running

local function has_room(type) return not room[type] or room[type] > 0 end

local function count_running(given)
  for type, limit in pairs(given.limits) do
    local key = running_key(type)
    for _, job in ipairs(given.ended) do redis.call('ZREM', key, job[1]) end
    for _, id in ipairs(given.claimed) do redis.call('ZREM', key, id) end  -- those that were claimed are held
    for _, id in ipairs(given.held[type] or {}) do redis.call('ZADD', key, given.now + given.held_s, id) end
    redis.call('ZREMRANGEBYSCORE', key, '-inf', given.now)
    redis.call('EXPIRE', key, math.ceil(given.held_s))
    room[type] = limit - redis.call('ZCARD', key)
  end
end

local function note_running(type, id, given)
  if not room[type] then return end
  room[type] = room[type] - 1
  redis.call('ZADD', running_key(type), given.now + given.held_s, id)
  redis.call('EXPIRE', running_key(type), math.ceil(given.held_s))
end

local function set_aside(queue, type, campaign, id, share)
  local name = queue .. '|' .. type
  redis.call('SADD', ASIDE, name)
  enter(name, campaign, id, share)
end

local function lists_aside(queue)
  local found = {}
  for _, name in ipairs(redis.call('SMEMBERS', ASIDE)) do
    if name:sub(1, #queue + 1) == queue .. '|' then found[#found + 1] = name end
  end
  return found
end

local function holds_ids(name)
  return redis.call('LLEN', list_key(name)) > 0 or redis.call('EXISTS', backlogged_key(name)) == 1
end

local function forget_if_empty(name)
  if not holds_ids(name) then
    redis.call('DEL', share_key(name))
    redis.call('SREM', ASIDE, name)
  end
end

-- Takes an id out of the list, whose place its campaign's next one takes, or out of the backlog; how many were there.
local function remove_from_list(name, campaign, id)
  if redis.call('LREM', list_key(name), 1, id) > 0 then
    leave(name, campaign)
    return 1
  end
  local removed = redis.call('LREM', backlog_key(name, campaign), 1, id)
  if removed > 0 and redis.call('HINCRBY', backlogged_key(name), campaign, -1) <= 0 then
    redis.call('HDEL', backlogged_key(name), campaign)
  end
  return removed
end

-- The same for wherever the id waits: also for a pause to end, or for its type's limit.
local function remove(queue, campaign, id)
  if remove_from_list(queue, campaign, id) > 0 then return 1 end
  local type = job_fields(id)[1]
  if type and remove_from_list(queue .. '|' .. type, campaign, id) > 0 then return 1 end
  return unparked(queue, campaign, id)
end
