-- Removes jobs from Redis. ARGV[1]: {jobs: [[id, queue, campaign]]}
local given = cmsgpack.unpack(ARGV[1])
for _, job in ipairs(given.jobs) do
  local id, queue = job[1], job[2]
  redis.call('ZREM', 'rq:scheduler:scheduled_jobs', id)
  redis.call('ZREM', 'rq:failed:' .. queue, id)
  remove(queue, job[3], id)
  redis.call('DEL', 'rq:job:' .. id, 'rq:results:' .. id)
end
