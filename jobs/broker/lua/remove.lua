-- Removes one ID from its queue. ARGV[1]: {queue, campaign, id}; returns how many were removed (0 or 1).
local given = cmsgpack.unpack(ARGV[1])
return remove(given.queue, given.campaign, given.id)
