-- Before each script. All keys of an app share the hash tag of KEYS[1], which ends in ":nodes":
--
--   nodes                       zset: incarnation -> when its lease lapses, ms; 0 while it is swept
--   swept                       zset: incarnation -> when it may be forgotten that it was swept
--   born                        when this record of the app began, ms
--   channels, internal          hash: channel -> subscriptions
--   users:<channel>             hash: user -> connections
--   members:<channel>           hash: user -> "<revision>:<user_info>"
--   revision                    of the last change of any of these: microseconds, growing
--   held:<incarnation>          hash: channel -> subscriptions
--   held:<incarnation>:<channel> hash: user -> connections
--
-- Invariant: what is counted of a channel or user is the sum of what all incarnations hold of it.
local call = redis.call
local nodes = KEYS[1]
local base = string.sub(nodes, 1, -6)
local swept = base .. 'swept'

local function now()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function counts_of(channel)
  return base .. (string.sub(channel, 1, 1) == '#' and 'internal' or 'channels')
end

local function is_alive(incarnation)
  local lapses = call('ZSCORE', nodes, incarnation)
  return lapses and tonumber(lapses) > 0
end

-- The number of a change, larger than all before it, also after the store has lost its data.
local function next_revision()
  local time = call('TIME')
  local revision = time[1] * 1000000 + time[2]
  local last = tonumber(call('GET', base .. 'revision') or 0)
  if revision <= last then revision = last + 1 end
  revision = string.format('%.0f', revision)
  call('SET', base .. 'revision', revision)
  return revision
end

local function revision()
  return tonumber(call('GET', base .. 'revision') or 0)
end

-- Add to what an incarnation holds of a channel; how many subscriptions there are then.
local function move(incarnation, channel, delta)
  next_revision()
  local held, counts = base .. 'held:' .. incarnation, counts_of(channel)
  if call('HINCRBY', held, channel, delta) <= 0 then call('HDEL', held, channel) end
  local total = call('HINCRBY', counts, channel, delta)
  if total <= 0 then call('HDEL', counts, channel) end
  return total
end

-- To everybody on a presence channel, each with a number of its own: in the order of the changes, as
-- nothing happens between the two. For this ARGV[2] is "PUBLISH" or "SPUBLISH", ARGV[3] the version
-- byte of messages, and ARGV[4] what stands before the channel in its topic.
local function tell(channel, ...)
  local head = ARGV[3] .. struct.pack('>I8', next_revision())
  call(ARGV[2], ARGV[4] .. channel, head .. cmsgpack.pack({...}))
end

local function tell_added(channel, user, info)
  local data = '{"user_id":' .. cjson.encode(user) .. ',"user_info":' .. info .. '}'
  tell(channel, 'pusher_internal:member_added', data)
end

local function tell_removed(channel, user)
  tell(channel, 'pusher_internal:member_removed', '{"user_id":' .. cjson.encode(user) .. '}')
end

-- Likewise for the connections of a user: 1 if the user has come by this, -1 if gone, else 0.
local function move_user(incarnation, channel, user, delta, info)
  local held = base .. 'held:' .. incarnation .. ':' .. channel
  local users, members = base .. 'users:' .. channel, base .. 'members:' .. channel
  if call('HINCRBY', held, user, delta) <= 0 then call('HDEL', held, user) end
  local total = call('HINCRBY', users, user, delta)
  if total <= 0 then
    call('HDEL', users, user)
    call('HDEL', members, user)
    return -1
  end
  if total == delta then
    call('HSET', members, user, next_revision() .. ':' .. info)
    return 1
  end
  return 0
end
