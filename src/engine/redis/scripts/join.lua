-- Makes or renews a member.
-- KEYS: 3 what the incarnation asserts (set of channel, line feed, id), 4 whether it was swept.
-- ARGV: 2 Pub/Sub name, 3 PUBLISH or SPUBLISH, 4 channel, 5 id, 6 incarnation, 7 fence,
--   8 state (o, a), 9 "1" to tell nobody, 10 most members (0 for any number), 11 JSON.
-- Answer: status (ok, swept, full), the incarnation that asserted it before if it was another.
-- Cost: O(1).

local id, incarnation, fence, state, json = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[11]
if redis.call('EXISTS', KEYS[4]) == 1 then return { 'swept', '' } end
local stored = member(id)
local most = tonumber(ARGV[10])
if not stored and most > 0 and redis.call('HLEN', KEYS[2]) >= most then return { 'full', '' } end
if stored and stored.fence >= fence then return { 'ok', '' } end
local since = stored and stored.since or now()
redis.call('HSET', KEYS[2], id,
  fence .. ' ' .. incarnation .. ' ' .. state .. ' ' .. since .. ' ' .. json)
redis.call('SADD', KEYS[3], ARGV[4] .. '\n' .. id)
if not stored then
  counted(state, 1)
  change('J', json, ARGV[9] ~= '1')
  return { 'ok', '' }
end
if stored.state ~= state then
  counted(stored.state, -1)
  counted(state, 1)
end
if stored.json ~= json or stored.state ~= state then
  change('U', json, ARGV[9] ~= '1')
end
return { 'ok', stored.incarnation ~= incarnation and stored.incarnation or '' }
