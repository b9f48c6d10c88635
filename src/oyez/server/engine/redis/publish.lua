-- "PUBLISH" or "SPUBLISH", version byte; per event with the cache key of its channel in KEYS:
-- topic, event, "1" if it is of a cache channel, for how many ms to keep it
-- All events of one call, or none: nothing here can fail once it has begun.
local verb, version = ARGV[1], ARGV[2]
for at, cache in ipairs(KEYS) do
  local topic, event, numbered, keep = unpack(ARGV, 4 * at - 1, 4 * at + 2)
  local sequence = 0
  if numbered == '1' then
    local time = redis.call('TIME')
    sequence = time[1] * 1000000 + time[2]
    local last = tonumber(redis.call('HGET', cache, 'sequence') or 0)
    if sequence <= last then sequence = last + 1 end
    if tonumber(keep) > 0 then
      redis.call('HSET', cache, 'sequence', string.format('%.0f', sequence), 'event', event)
      redis.call('PEXPIRE', cache, keep)
    end
  end
  redis.call(verb, topic, version .. struct.pack('>I8', sequence) .. event)
end
return 0
