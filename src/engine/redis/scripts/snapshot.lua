-- The members of a channel, up to a number.
-- ARGV: 2 the most members that are listed.
-- Answer: version, number, then id and entry of each, none where there are more. Cost: O(members).

local count = redis.call('HLEN', KEYS[2])
local answer = { redis.call('HGET', KEYS[1], 'v') or '0', tostring(count) }
if count <= tonumber(ARGV[2]) then
  for _, value in ipairs(redis.call('HGETALL', KEYS[2])) do answer[#answer + 1] = value end
end
return answer
