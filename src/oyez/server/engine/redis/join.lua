-- incarnation, three for `tell`, channel[, user, info, most]
-- -> subscriptions, revision[, whether added, members]
local incarnation, channel, user, info = ARGV[1], ARGV[5], ARGV[6], ARGV[7]
if not is_alive(incarnation) then return 'stale' end
if not user then return {move(incarnation, channel, 1), revision()} end
local users = base .. 'users:' .. channel
if call('HEXISTS', users, user) == 0 and call('HLEN', users) >= tonumber(ARGV[8]) then
  return 'full'
end
local added = move_user(incarnation, channel, user, 1, info)
local count = move(incarnation, channel, 1)
if added == 1 then tell_added(channel, user, info) end
return {count, revision(), added, call('HGETALL', base .. 'members:' .. channel)}
