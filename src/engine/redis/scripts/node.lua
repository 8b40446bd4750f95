-- What is known of an incarnation.
-- KEYS: 1 leases (sorted set by end, in ms of the server's time), 2 addresses (hash), 3 and 4 (not
--   read), 5 the mark of the data.
-- ARGV: 1 milliseconds added to the server's time, 2 incarnation.
-- Answer: "1" if it holds a lease, its address, time in ms, server generation, mark of the data ('' where
--   nobody has renewed a lease since it was lost). Cost: O(1).

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
local ends = redis.call('ZSCORE', KEYS[1], ARGV[2])
local alive = ends and tonumber(ends) >= now
local address = redis.call('HGET', KEYS[2], ARGV[2]) or ''
local generation = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
local mark = redis.call('GET', KEYS[5]) or ''
return { alive and '1' or '0', address, string.format('%.0f', now), generation, mark }
