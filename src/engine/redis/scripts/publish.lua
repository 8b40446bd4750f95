-- Appends a batch to one channel and broadcasts it: all or nothing, in one step.
-- KEYS: 5 and 6 two hashes of publish ids, used in turns of five minutes.
-- ARGV: 3 Pub/Sub name, 4 PUBLISH or SPUBLISH, 5 kind, 6 size of the log or number of keys,
--   7 age in ms, 8 publish id with its publisher ('' for none), 9 digest of the body,
--   10 expected epoch ('' for none), 11 its offset, 12 its tag, 13 number of events, then of each
--   event: tag, key ('' for none), frame before the position, frame after it.
-- Answer: status (ok, dup, id, conflict), epoch, offset, tag.
-- Cost: O(events), and O(log n) of the stream at each 64th offset.

local WINDOW = 300000
local t = now()
local turn = math.floor(t / WINDOW)
local ids, ids_before = KEYS[5 + turn % 2], KEYS[5 + (turn + 1) % 2]
local id, digest = ARGV[8], ARGV[9]

local function known(key, of_turn)
  typed(key, 'hash')
  if redis.call('HGET', key, '') ~= text(of_turn) then return nil end
  return redis.call('HGET', key, id)
end

if id ~= '' then
  local found = known(ids, turn) or known(ids_before, turn - 1)
  if found then
    local of, epoch, offset, tag = string.match(found, '^(%S+) (%S+) (%S+) (%S+)$')
    if of ~= digest then return { 'id' } end
    return { 'dup', epoch, offset, tag }
  end
end

local m = load_meta()
local expect = ARGV[10]
if expect ~= '' then
  local same = ARGV[11] == text(m.o) and ARGV[12] == m.t
  if not same or (m.o == 0 and expect ~= m.e and expect ~= m.b) then
    return { 'conflict', m.e, text(m.o), m.t }
  end
end

local count = tonumber(ARGV[13])
if count == 0 then return { 'ok', m.e, text(m.o), m.t } end

local kind, keep, age = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local g = generation()
if m.g ~= g then
  -- The server may have lost its tail: what follows must not be taken for what was there.
  m.e, m.g = ARGV[2], g
end
if m.k ~= kind then
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
end
typed(KEYS[2], 'stream')
typed(KEYS[3], 'hash')
typed(KEYS[4], 'zset')
m.k, m.z, m.a = kind, keep, age

local at = text(t)
local prev, broadcasts = m.t, {}
for n = 0, count - 1 do
  local i = 14 + n * 4
  local tag, key = ARGV[i], ARGV[i + 1]
  m.o = m.o + 1
  local offset = text(m.o)
  local frame = ARGV[i + 2] .. m.e .. '.' .. offset .. '.' .. tag .. ARGV[i + 3]
  local event = offset .. ' ' .. tag .. ' ' .. prev .. ' ' .. at .. ' ' .. #key .. '\n' .. key .. frame
  if kind == 'l' then
    redis.call('XADD', KEYS[2], offset .. '-0', 'f', frame, 't', tag, 'p', prev, 'a', at)
  elseif kind == 's' and key ~= '' then
    redis.call('HSET', KEYS[3], key, event)
    redis.call('ZADD', KEYS[4], offset, key)
  end
  broadcasts[n + 1] = 'E' .. kind .. ' ' .. m.e .. ' ' .. event
  prev = tag
end
m.t = prev
redis.call('HSET', KEYS[1], 'e', m.e, 'b', m.b, 'o', text(m.o), 't', m.t, 'g', m.g,
  'k', kind, 'z', ARGV[6], 'a', ARGV[7])
touch(m)
-- A broadcast is no write: a server that refuses those would send what it then refuses.
for _, broadcast in ipairs(broadcasts) do redis.call(ARGV[4], ARGV[3], broadcast) end

if kind == 'l' then
  -- Approximately: readers are held to the exact number by what they read.
  redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', ARGV[6])
  redis.call('PEXPIRE', KEYS[2], text(age + 60000))
elseif kind == 's' then
  local over = redis.call('ZCARD', KEYS[4]) - keep
  if over > 0 then
    local oldest = redis.call('ZPOPMIN', KEYS[4], over)
    for n = 1, #oldest, 2 do redis.call('HDEL', KEYS[3], oldest[n]) end
  end
end

if id ~= '' then
  if redis.call('HGET', ids, '') ~= text(turn) then
    redis.call('DEL', ids)
    redis.call('HSET', ids, '', text(turn))
    redis.call('PEXPIRE', ids, 3 * WINDOW)
  end
  redis.call('HSET', ids, id, digest .. ' ' .. m.e .. ' ' .. text(m.o) .. ' ' .. m.t)
end
return { 'ok', m.e, text(m.o), m.t }
