-- the cache key of a channel -> sequence and event of the last one that is kept, ms it still will be
local found = redis.call('HMGET', KEYS[1], 'sequence', 'event')
return {found[1], found[2], redis.call('PTTL', KEYS[1])}
