-- Stores the active pauses for all workers. ARGV[1]: {version, pauses: [[pause, until in seconds or '']]}; returns
-- whether the update was stored. An update with a later version has read the database later, so it wins. Without a
-- version it returns the next one, of a full Redis too.
local given = cmsgpack.unpack(ARGV[1])
if not given.version then
  redis.call('ZREM', 'scheduler:taken', '')  -- always allowed, and so is what follows a write
  return redis.call('INCR', 'scheduler:paused:version')
end
if tonumber(redis.call('GET', 'scheduler:paused:version') or 0) ~= given.version then return 0 end
redis.call('DEL', 'scheduler:paused')
redis.call('HSET', 'scheduler:paused', 'known', '')
for _, pause in ipairs(given.pauses) do redis.call('HSET', 'scheduler:paused', pause[1], pause[2]) end
redis.call('PUBLISH', 'scheduler:queued', '1')
return 1
