-- incarnation, channel[, user, info, most] -> subscriptions[, whether added, members, revision]
local incarnation, channel, user = ARGV[1], ARGV[2], ARGV[3]
if not is_alive(incarnation) then return 'stale' end
if not user then return {move(incarnation, channel, 1)} end
local users = base .. 'users:' .. channel
if call('HEXISTS', users, user) == 0 and call('HLEN', users) >= tonumber(ARGV[5]) then
  return 'full'
end
local added = move_user(incarnation, channel, user, 1, ARGV[4])
local members = call('HGETALL', base .. 'members:' .. channel)
return {move(incarnation, channel, 1), added, members, revision()}
