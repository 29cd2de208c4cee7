-- Takes one id out of its queue. ARGV[1]: {queue, campaign, id}; answers how many were there (0 or 1).
local given = cmsgpack.unpack(ARGV[1])
return remove(given.queue, given.campaign, given.id)
