-- Stores the active pauses for all workers. ARGV[1]: {version, pauses: [[pause, until in seconds or '']]}; returns
-- whether the update was stored. An update with a later version has read the database later, so it wins.
local given = cmsgpack.unpack(ARGV[1])
if tonumber(redis.call('GET', 'scheduler:paused:version') or 0) ~= given.version then return 0 end
redis.call('DEL', 'scheduler:paused')
redis.call('HSET', 'scheduler:paused', 'known', '')
for _, pause in ipairs(given.pauses) do redis.call('HSET', 'scheduler:paused', pause[1], pause[2]) end
redis.call('PUBLISH', 'scheduler:queued', '1')
return 1
