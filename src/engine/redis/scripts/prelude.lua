-- Comes before every script that reads or writes a channel's log.
-- KEYS: 1 meta (hash), 2 log (stream), 3 state by key (hash), 4 order of the keys (sorted set).
-- ARGV: 1 milliseconds added to the server's time (0 outside tests), 2 a fresh epoch.
-- Meta: e epoch, b the epoch it began with, o offset, t tag of the top, g server generation,
-- k kind (n nothing, l log, s state), z size of the log, a age of the log in ms.

local DAY = 86400000
local ZERO = '0000000000000000'

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
end

local function text(number)
  return string.format('%.0f', number)
end

-- What stands under a key by mistake goes: that channel begins again, no other is touched.
local function typed(key, want)
  local found = redis.call('TYPE', key).ok
  if found ~= want and found ~= 'none' then redis.call('DEL', key) end
end

-- Changes on a crash, a restart and a promotion.
local function generation()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
end

local function load_meta()
  typed(KEYS[1], 'hash')
  local m = redis.call('HMGET', KEYS[1], 'e', 'o', 't', 'g', 'k', 'z', 'a', 'b')
  if not m[1] or not m[2] or not m[3] then
    -- A log without its meta proves nothing.
    redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
    local g = generation()
    redis.call('HSET', KEYS[1], 'e', ARGV[2], 'b', ARGV[2], 'o', '0', 't', ZERO, 'g', g, 'k', 'n')
    redis.call('PEXPIRE', KEYS[1], DAY)
    return { e = ARGV[2], b = ARGV[2], o = 0, t = ZERO, g = g, k = 'n', z = 0, a = 0 }
  end
  return {
    e = m[1], o = tonumber(m[2]), t = m[3], g = m[4], k = m[5] or 'n',
    z = tonumber(m[6] or 0), a = tonumber(m[7] or 0), b = m[8] or m[1],
  }
end

-- A channel that is used is kept a day beyond the age of its log; one with state is kept.
local function touch(m)
  if m.k == 's' then
    redis.call('PERSIST', KEYS[1])
  else
    redis.call('PEXPIRE', KEYS[1], text(m.a + DAY))
  end
end
