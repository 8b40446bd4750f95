-- Whether the server and its data are still those of before.
-- KEYS: 1 the mark of the data on this server. ARGV: 1 a fresh mark.
-- Answer: server generation, mark. Cost: O(1).

redis.call('SET', KEYS[1], ARGV[1], 'NX')
local generation = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
return { generation, redis.call('GET', KEYS[1]) }
