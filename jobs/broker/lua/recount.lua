-- Recounts the campaigns' shares of a queue's list, then fills them. IDs whose job is gone leave the list uncounted, and
-- a campaign whose share only seems full would wait forever behind a busy list.
-- ARGV[1]: {queue, fair_share, most}; returns how many IDs entered. Skips lists longer than `most`.
local given = cmsgpack.unpack(ARGV[1])
local list, shares = list_key(given.queue), share_key(given.queue)
if redis.call('LLEN', list) > given.most then return 0 end
local counts = {}
for _, id in ipairs(redis.call('LRANGE', list, 0, -1)) do
  local campaign = job_fields(id)[2]
  if campaign then counts[campaign] = (counts[campaign] or 0) + 1 end
end
redis.call('DEL', shares)
for campaign, count in pairs(counts) do redis.call('HSET', shares, campaign, count) end
local entered = 0
for _, campaign in ipairs(redis.call('HKEYS', backlogged_key(given.queue))) do
  entered = entered + fill(given.queue, campaign, given.fair_share)
end
if entered > 0 then redis.call('PUBLISH', 'scheduler:queued', '1') end
return entered
