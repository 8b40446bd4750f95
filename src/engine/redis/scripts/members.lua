-- Comes before every script of presence.
-- KEYS: 1 presence of a channel (hash: v version, n online, w away, s last seen in ms),
--   2 its members (hash by id: fence, incarnation, state, since in ms, JSON).
-- ARGV: 1 milliseconds added to the server's time (0 outside tests).

local function now()
  local time = redis.call('TIME')
  return string.format('%.0f',
    time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1]))
end

local function typed(key, want)
  local found = redis.call('TYPE', key).ok
  if found ~= want and found ~= 'none' then redis.call('DEL', key) end
end

typed(KEYS[1], 'hash')
typed(KEYS[2], 'hash')

-- Fence (20 digits, compared as text), incarnation, o online or a away, since, JSON.
local function member(id)
  local stored = redis.call('HGET', KEYS[2], id)
  if not stored then return nil end
  local fence, incarnation, state, since, json =
    string.match(stored, '^(%d+) (%S+) (%a) (%d+) (.*)$')
  return { fence = fence, incarnation = incarnation, state = state, since = since, json = json }
end

local COUNTED = { o = 'n', a = 'w' }

local function counted(state, by)
  redis.call('HINCRBY', KEYS[1], COUNTED[state] or 'n', by)
end

-- A change has a version; who is gone is remembered for 30 days.
local function change(kind, body, tell)
  local version = redis.call('HINCRBY', KEYS[1], 'v', 1)
  local count = redis.call('HLEN', KEYS[2])
  if count == 0 then
    redis.call('PEXPIRE', KEYS[1], 2592000000)
  else
    redis.call('PERSIST', KEYS[1])
  end
  if tell then
    redis.call(ARGV[3], ARGV[2], 'P ' .. version .. ' ' .. count .. ' ' .. kind .. '\n' .. body)
  end
end
