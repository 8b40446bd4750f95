-- Removes a member; the removal alone is told.
-- ARGV: 2 Pub/Sub name, 3 PUBLISH or SPUBLISH, 4 id, 5 fence ('' for any), 6 incarnation that
--   must assert it ('' for any), 7 how long ago it was seen, in ms.
-- Answer: the incarnation that asserted it, '' where nothing was removed. Cost: O(1).

local id, fence, incarnation = ARGV[4], ARGV[5], ARGV[6]
local stored = member(id)
if not stored then return '' end
if fence ~= '' and stored.fence > fence then return '' end
if incarnation ~= '' and stored.incarnation ~= incarnation then return '' end
redis.call('HDEL', KEYS[2], id)
counted(stored.state, -1)
change('L', id, true)
-- Of several devices the one that was seen last counts.
local seen = tonumber(now()) - tonumber(ARGV[7])
if seen > tonumber(redis.call('HGET', KEYS[1], 's') or 0) then
  redis.call('HSET', KEYS[1], 's', string.format('%.0f', seen))
end
return stored.incarnation
