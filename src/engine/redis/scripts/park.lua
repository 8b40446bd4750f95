-- Changes the record of a session by compare-and-set.
-- KEYS: 1 record (string: version, end in ms of the server's time, how
--   long it is kept in ms, state).
-- ARGV: 1 milliseconds added to the server's time, 2 expected version (0: none), 3 new version
--   (0: the record goes), 4 how long it is kept in ms, 5 state.
-- Answer: "1" if it was done. Cost: O(1).

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then redis.call('DEL', KEYS[1]) end
local version = '0'
local stored = redis.call('GET', KEYS[1])
if stored then
  local of, ends = string.match(stored, '^(%d+) (%d+) ')
  if of and tonumber(ends) >= now then version = of end
end
if version ~= ARGV[2] then return '0' end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1])
else
  local ends = string.format('%.0f', now + tonumber(ARGV[4]))
  local record = ARGV[3] .. ' ' .. ends .. ' ' .. ARGV[4] .. ' ' .. ARGV[5]
  redis.call('SET', KEYS[1], record, 'PX', ARGV[4])
end
return '1'
