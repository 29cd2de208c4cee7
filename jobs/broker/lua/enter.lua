-- Fair shares. A queue's list (RQ's own key) holds at most `share` IDs of one campaign; the rest of a busy campaign waits
-- in a backlog of its own, and each of its IDs that leaves the list lets the next one in at the end of the list.
-- A campaign with one job waits for at most one share of each busy campaign.
local function share_key(queue) return 'scheduler:share:' .. queue end
local function backlogged_key(queue) return 'scheduler:backlogged:' .. queue end
local function backlog_key(queue, campaign) return 'scheduler:backlog:' .. queue .. ':' .. campaign end
local function list_key(queue) return 'rq:queue:' .. queue end

local function enter(queue, campaign, id, share)
  if (tonumber(redis.call('HGET', share_key(queue), campaign)) or 0) < share then  -- nothing is written to be undone
    redis.call('HINCRBY', share_key(queue), campaign, 1)
    redis.call('RPUSH', list_key(queue), id)
  else
    redis.call('RPUSH', backlog_key(queue, campaign), id)
    redis.call('HINCRBY', backlogged_key(queue), campaign, 1)
  end
end
