-- Stores the status of a process, and says whether somebody has asked it to stop; of a full Redis too. ARGV[1]:
-- {process}; ARGV[2]: the status, or '' to ask it to stop, which returns whether nobody had before.
local given = cmsgpack.unpack(ARGV[1])
redis.call('ZREM', 'scheduler:taken', '')  -- always allowed, and so is what follows a write
if ARGV[2] == '' then return redis.call('SADD', 'scheduler:stop_asked', given.process) end
redis.call('HSET', 'scheduler:processes', given.process, ARGV[2])
return redis.call('SISMEMBER', 'scheduler:stop_asked', given.process)
