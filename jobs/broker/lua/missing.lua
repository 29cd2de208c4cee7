-- Finds jobs, QUEUED in the database, that are missing from Redis. ARGV[1]: {jobs: [[id, queue]]}; returns positions.
-- A missing job may still have its hash: RQ's cancel leaves it, and so does a process that dies between the database and
-- Redis. So "started" counts only just after a worker fetched the job, and "queued" only while its queue holds anything:
-- its list may have been evicted or deleted.
local given = cmsgpack.unpack(ARGV[1])
local known = {}

local function check(queue)
  if holds_ids(queue) then return true end
  for _, name in ipairs(lists_aside(queue)) do
    if holds_ids(name) then return true end
  end
  for _, place in ipairs(redis.call('SMEMBERS', PARKED)) do
    if place:sub(1, #queue + 1) == queue .. ':' and redis.call('LLEN', parked_key(place)) > 0 then return true end
  end
  return false
end

local function holds_any(queue)
  if known[queue] == nil then known[queue] = check(queue) end
  return known[queue]
end

local missing = {}
for position, job in ipairs(given.jobs) do
  local status = redis.pcall('HGET', 'rq:job:' .. job[1], 'status')  -- an error, for a key of another type, has no status
  local carried = status == 'queued' and holds_any(job[2])
    or status == 'started' and redis.call('ZSCORE', 'scheduler:taken', job[1])
  if not carried then missing[#missing + 1] = position end
end
return missing
