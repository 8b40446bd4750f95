-- The record of a session.
-- KEYS: 1 record. ARGV: 1 milliseconds added to the server's time.
-- Answer: version, how long it is kept in ms, state; nothing where there is none. Cost: O(1).

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then return {} end
local version, ends, keep, state =
  string.match(redis.call('GET', KEYS[1]), '^(%d+) (%d+) (%d+) (.*)$')
if not version or tonumber(ends) < now then return {} end
return { version, keep, state }
