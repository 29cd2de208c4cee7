-- Takes IDs off the schedule, unless they have another time there by now. ARGV[1]: {entries: [[id, time]]}
for _, entry in ipairs(cmsgpack.unpack(ARGV[1]).entries) do
  if tonumber(redis.call('ZSCORE', 'rq:scheduler:scheduled_jobs', entry[1])) == entry[2] then
    redis.call('ZREM', 'rq:scheduler:scheduled_jobs', entry[1])
  end
end
