-- Renews the lease of an incarnation.
-- KEYS: 1 leases (sorted set by end, in ms of the server's time), 2 addresses (hash; the field of an
--   incarnation with "!" after it: its lease had lapsed once; "!" alone: the server generation, and
--   since when it serves without a break), 3 swept incarnations (sorted set by time), 4 the last
--   renewal of anyone, 5 the mark of the data.
-- ARGV: 1 milliseconds added to the server's time, 2 incarnation, 3 address ('' for none),
--   4 lease in ms, 5 grace in ms, 6 a fresh mark.
-- Answer: status (ok, swept), "1" if the lease had ever lapsed (the answer that said so first may have
--   been lost), time in ms, server generation, mark of
--   the data, then the incarnations whose lease and grace are over. Cost: O(nodes).

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
local function text(number) return string.format('%.0f', number) end
local incarnation, lease, grace = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])

if redis.call('ZSCORE', KEYS[3], incarnation) then return { 'swept' } end
redis.call('SET', KEYS[5], ARGV[6], 'NX')
local generation = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
local last = tonumber(redis.call('GET', KEYS[4]) or now)
local away = now - last > lease / 2
local of, since = string.match(redis.call('HGET', KEYS[2], '!') or '', '^(%w*) (%d+)$')
-- Since a break no session of a node without a lease can go on elsewhere before another lease is
-- over: until then, and for the grace after it, nobody is taken for gone.
if away or of ~= generation then
  since = now
  redis.call('HSET', KEYS[2], '!', generation .. ' ' .. text(since))
end
if away then
  -- Nobody renewed: it was the server that was away, so no lease lapsed by it.
  for _, other in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    redis.call('ZADD', KEYS[1], 'XX', 'GT', text(now + lease), other)
  end
end
redis.call('SET', KEYS[4], text(now))
local own = redis.call('ZSCORE', KEYS[1], incarnation)
local lapsed_once = incarnation .. '!'
if own and tonumber(own) < now then redis.call('HSET', KEYS[2], lapsed_once, '1') end
local late = redis.call('HEXISTS', KEYS[2], lapsed_once) == 1
redis.call('ZADD', KEYS[1], text(now + lease), incarnation)
redis.call('HSET', KEYS[2], incarnation, ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', text(now - 86400000))

local answer = { 'ok', late and '1' or '0', text(now), generation, redis.call('GET', KEYS[5]) }
if now - tonumber(since) < lease + grace then return answer end
for _, lapsed in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. text(now - grace))) do
  redis.call('ZADD', KEYS[3], text(now), lapsed)
  answer[#answer + 1] = lapsed
end
return answer
