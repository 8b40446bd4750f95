-- Some of what a swept incarnation asserted in one partition, and the mark that it is never used
-- again.
-- KEYS: 1 what the incarnation asserts (set of channel, line feed, id), 2 the mark.
-- ARGV: 1 the most that is read, 2 entries that are done, any number of them.
-- Answer: entries. Cost: O(entries).

redis.call('SET', KEYS[2], '1', 'PX', 86400000)
for n = 2, #ARGV do redis.call('SREM', KEYS[1], ARGV[n]) end
return redis.call('SRANDMEMBER', KEYS[1], ARGV[1])
