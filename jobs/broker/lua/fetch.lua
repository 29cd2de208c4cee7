-- One fetch: publish ended and started jobs to RQ, then take IDs for free slots.
-- ARGV[1]: {now, stamp, worker, claimed: [id], ended: [[id, attempt, queue, status, shown]],
--           started: [[id, attempt, queue, since]], slots, group_sizes: {type: [size, by campaign]}, ahead, foreign,
--           queues, fair_share, keep, kept_s, shown_s, most_parked, reads: {type: payload version},
--           limits: {type: jobs at a time}, held: {type: [id]}, held_s}; with `ahead` only types in `group_sizes`
-- Returns {groups of our IDs, each after its queue's rank; ID and queue of a foreign job, if any; status}.
-- Status 1: more than `most_parked` IDs to park or unpark, fetch again; 2: pauses unknown, nothing fetched.
local given = cmsgpack.unpack(ARGV[1])
local executions = 'rq:worker:' .. given.worker .. ':executions'

-- Calls a command with many arguments; Lua passes a few thousand at most.
local function call_with(command, key, arguments)
  for first = 1, #arguments, 1000 do
    redis.call(command, key, unpack(arguments, first, math.min(first + 999, #arguments)))
  end
end

-- A full Redis refuses a script whose first write may need memory. This one makes room, so a write that is always allowed
-- comes first, whatever there is to publish.
redis.call('ZREM', 'scheduler:taken', '')
call_with('ZREM', 'scheduler:taken', given.claimed)

for _, job in ipairs(given.started) do
  local id, composite = job[1], job[1] .. ':' .. job[2]
  redis.call('HSET', 'rq:execution:' .. composite, 'id', job[2], 'job_id', id, 'created_at', job[4],
    'last_heartbeat', given.now, 'worker_name', given.worker)
  redis.call('EXPIRE', 'rq:execution:' .. composite, given.shown_s)
  redis.call('ZADD', 'rq:executions:' .. id, given.now + given.shown_s, job[2])
  redis.call('EXPIRE', 'rq:executions:' .. id, given.shown_s)
  -- It never expires for RQ's own clean-up, which would fail the job: the ledger's lease decides.
  redis.call('ZADD', 'rq:wip:' .. job[3], '+inf', composite)
  redis.call('SADD', executions, composite)
  redis.call('HSET', 'rq:job:' .. id, 'started_at', given.stamp, 'worker_name', given.worker)
end
if #given.started > 0 then
  redis.call('EXPIRE', executions, given.shown_s)
  -- RQ knows one current job of a worker; of several it is the last one that was shown.
  if redis.call('EXISTS', 'rq:worker:' .. given.worker) == 1 then
    redis.call('HSET', 'rq:worker:' .. given.worker, 'current_job', given.started[#given.started][1])
  end
end

count_running(given)

local finished = {}  -- by queue, pairs of score and ID
for _, job in ipairs(given.ended) do
  local id, composite, queue, status = job[1], job[1] .. ':' .. job[2], job[3], job[4]
  if job[5] then
    redis.call('DEL', 'rq:execution:' .. composite, 'rq:executions:' .. id)
    redis.call('ZREM', 'rq:wip:' .. queue, composite)
    redis.call('SREM', executions, composite)
    if redis.call('HGET', 'rq:worker:' .. given.worker, 'current_job') == id then
      redis.call('HDEL', 'rq:worker:' .. given.worker, 'current_job')
    end
  end
  if status == 'finished' then
    redis.call('HSET', 'rq:job:' .. id, 'status', status, 'ended_at', given.stamp)
    redis.call('EXPIRE', 'rq:job:' .. id, given.kept_s)
    finished[queue] = finished[queue] or {}
    table.insert(finished[queue], given.now + given.kept_s)
    table.insert(finished[queue], id)
  end
end
for queue, ids in pairs(finished) do
  call_with('ZADD', 'rq:finished:' .. queue, ids)
  local surplus = redis.call('ZCARD', 'rq:finished:' .. queue) - given.keep
  if surplus > 0 then
    local popped = redis.call('ZPOPMIN', 'rq:finished:' .. queue, surplus)
    for i = 1, #popped, 2 do redis.call('DEL', 'rq:job:' .. popped[i], 'rq:results:' .. popped[i]) end
  end
end

local groups, open, foreign, foreign_queue = {}, {}, nil, nil
local again, moved = 0, 0  -- IDs parked or unparked by this fetch

-- Adds the ID to a group if there is room; returns whether. A group begins with its queue's rank. A job that has failed
-- shares a group only if its type takes batches: if it killed its worker, each job that was claimed with it has failed
-- too, and would again beside it.
local function admit(id, type, campaign, rank, has_failed)
  local sizes = given.group_sizes[type]
  if has_failed and sizes and not sizes[2] then sizes = nil end
  local kind = sizes and (sizes[2] and type .. '|' .. campaign or type)
  local group = kind and open[kind]
  if group and #group <= sizes[1] then
    group[#group + 1] = id
    return true
  end
  if #groups >= given.slots or given.ahead and not kind then return false end
  groups[#groups + 1] = {rank, id}
  if kind then open[kind] = groups[#groups] end
  return true
end

-- Reads the active pauses. Returns whether Redis knows them: the hash then has at least its marker field.
local function read_pauses()
  local known = redis.call('HGETALL', 'scheduler:paused')
  for i = 1, #known, 2 do
    if known[i + 1] == '' or tonumber(known[i + 1]) > given.now then paused[known[i]] = true end
  end
  return #known > 0
end

-- Jobs for a newer release return a few at a time, and only to a worker of that release: during a rollout an older
-- worker may fetch next, and would park all of them again.
local function let_newer_back(place, newer, type, version)
  if (given.reads[type] or 0) < tonumber(version) then return end
  local back = unpark(place, newer, given.fair_share, math.min(given.fair_share, given.most_parked - moved))
  moved = moved + back
  if back >= given.fair_share then again = 1 end
end

local function let_back()
  for _, place in ipairs(redis.call('SMEMBERS', PARKED)) do
    local pause = place:match('^[^:]*:(.*)$')
    local type, version = pause:match('^newer:(.*):(%d+)$')
    if type then
      let_newer_back(place, pause, type, version)
      if moved >= given.most_parked then again = 1; return end
    elseif not paused[pause] then
      moved = moved + unpark(place, pause, given.fair_share, given.most_parked - moved)
      if moved >= given.most_parked then again = 1; return end
    end
  end
end

-- Takes from one list of a queue: its own, named as the queue, or that of a type that waits for its limit.
local function take_from_list(queue, name, rank)
  local list = list_key(name)
  while true do
    local id = redis.call('LINDEX', list, 0)
    if not id then
      if redis.call('EXISTS', backlogged_key(name)) == 0 then
        redis.call('DEL', share_key(name))
        return true
      end
      if refill(name, given.fair_share) == 0 then return true end
    else
      local kept = job_fields(id)
      local pause = kept[1] and (place_of_newer(kept, given.reads) or pause_of(kept[1], kept[2]))
      local is_full = kept[1] and not pause and not has_room(kept[1])
      if is_full and name ~= queue then return true end
      if pause or is_full then
        if moved >= given.most_parked then again = 1; return false end
        moved = moved + 1
        redis.call('LPOP', list)
        if pause then park(queue, pause, id) else set_aside(queue, kept[1], kept[2], id, given.fair_share) end
        leave(name, kept[2])
      elseif kept[1] then
        if not admit(id, kept[1], kept[2], rank, kept[4]) then return false end
        redis.call('LPOP', list)
        leave(name, kept[2])
        note_running(kept[1], id, given)
        redis.call('HSET', 'rq:job:' .. id, 'status', 'started')
        redis.call('EXPIRE', 'rq:job:' .. id, given.kept_s)  -- in case nobody records its end
        redis.call('ZADD', 'scheduler:taken', given.now, id)
      elseif given.foreign and not foreign then
        redis.call('LPOP', list)
        foreign, foreign_queue = id, queue
      elseif queue == 'default' then
        return true
      else
        redis.call('RPUSH', list_key('default'), redis.call('LPOP', list))
      end
    end
  end
end

-- What waits for its type's limit came before all of the queue's own list.
local function take_from(queue, rank)
  if paused['queue:' .. queue] then return true end
  for _, name in ipairs(lists_aside(queue)) do
    if has_room(name:sub(#queue + 2)) and not take_from_list(queue, name, rank) then return false end
    forget_if_empty(name)
  end
  return take_from_list(queue, queue, rank)
end

if given.slots > 0 or given.foreign then
  if not read_pauses() then return {groups, '', '', 2} end
  let_back()
  for rank, queue in ipairs(given.queues) do
    if not take_from(queue, rank) then break end
  end
end
return {groups, foreign or '', foreign_queue or '', again}
