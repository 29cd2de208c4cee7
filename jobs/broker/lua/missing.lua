-- Which of these jobs, QUEUED in the database, Redis does not carry. ARGV[1]: {jobs: [[id, queue]]}; their positions.
-- It may have their hash all the same: RQ's cancel leaves it, and so does whoever dies after the database has heard of a
-- move and before Redis has. Only what a worker has just taken counts as started, and only what stands in a queue that
-- holds anything counts as queued: its list may have been evicted or deleted.
local given = cmsgpack.unpack(ARGV[1])
local known = {}

local function look(queue)
  if redis.call('LLEN', list_key(queue)) > 0 or redis.call('EXISTS', backlogged_key(queue)) == 1 then return true end
  for _, place in ipairs(redis.call('SMEMBERS', PARKED)) do
    if place:sub(1, #queue + 1) == queue .. ':' and redis.call('LLEN', parked_key(place)) > 0 then return true end
  end
  return false
end

local function holds_any(queue)
  if known[queue] == nil then known[queue] = look(queue) end
  return known[queue]
end

local absent = {}
for position, job in ipairs(given.jobs) do
  local status = redis.pcall('HGET', 'rq:job:' .. job[1], 'status')  -- an error, under another type, is none
  local carried = status == 'queued' and holds_any(job[2])
    or status == 'started' and redis.call('ZSCORE', 'scheduler:taken', job[1])
  if not carried then absent[#absent + 1] = position end
end
return absent
