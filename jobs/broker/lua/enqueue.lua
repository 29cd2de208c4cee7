-- Puts jobs into Redis: their hash as RQ knows it, and their id into the queue or the scheduler's sorted set.
-- ARGV[1]: {queued, waiting: [[id, queue, campaign, type, description, payload version, claims, failures, due]], timeout,
--           stamp, fair_share}; ARGV[2]: data
local given = cmsgpack.unpack(ARGV[1])

local function put(call, job, status)
  return call('HSET', 'rq:job:' .. job[1],
    'created_at', given.stamp, 'enqueued_at', given.stamp, 'data', ARGV[2], 'timeout', given.timeout,
    'status', status, 'origin', job[2], 'campaign', job[3], 'type', job[4], 'description', job[5], 'worker_name', '')
end

-- Its hash may have expired before its id, which RQ's list of failed jobs may still have then, unless it is new.
local function save(job, status)
  local added = put(redis.pcall, job, status)
  if type(added) == 'table' then
    if string.find(added.err, 'WRONGTYPE', 1, true) then redis.call('DEL', 'rq:job:' .. job[1]) end
    added = put(redis.call, job, status)  -- any other error, such as a full memory, ends the script here
  end
  if job[6] > 1 then redis.call('HSET', 'rq:job:' .. job[1], 'version', job[6]) end
  if job[8] > 0 then redis.call('HSET', 'rq:job:' .. job[1], 'failures', job[8]) end
  if added == 10 and job[7] == 0 then return end
  if job[8] == 0 then redis.call('HDEL', 'rq:job:' .. job[1], 'failures') end
  redis.call('PERSIST', 'rq:job:' .. job[1])
  if status == 'queued' then redis.call('ZREM', 'rq:failed:' .. job[2], job[1]) end
end

local queues = {}
for _, job in ipairs(given.queued) do
  save(job, 'queued')
  redis.call('ZREM', 'rq:scheduler:scheduled_jobs', job[1])  -- in the same step: it may be scheduled anew at once
  queues[job[2]] = true
  enter(job[2], job[3], job[1], given.fair_share)
end
for queue in pairs(queues) do redis.call('SADD', 'rq:queues', list_key(queue)) end
for _, job in ipairs(given.waiting) do
  save(job, 'scheduled')
  redis.call('ZADD', 'rq:scheduler:scheduled_jobs', job[9], job[1])
end
if #given.waiting > 0 then redis.call('PUBLISH', 'scheduler:wake', '1') end
if #given.queued > 0 then redis.call('PUBLISH', 'scheduler:queued', '1') end
