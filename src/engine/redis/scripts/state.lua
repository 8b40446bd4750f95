-- The latest event of each key, by offset.
-- Answer: epoch, offset, tag of the top, then the events as they were broadcast. Cost: O(keys).

local m = load_meta()
touch(m)
local answer = { m.e, text(m.o), m.t }
if m.k ~= 's' then return answer end
typed(KEYS[3], 'hash')
typed(KEYS[4], 'zset')
for _, key in ipairs(redis.call('ZRANGE', KEYS[4], 0, -1)) do
  local event = redis.call('HGET', KEYS[3], key)
  if event then answer[#answer + 1] = event end
end
return answer
