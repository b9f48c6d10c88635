-- incarnation, three for `tell`, channel[, user] -> subscriptions, whether the user has gone, revision
local incarnation, channel, user = ARGV[1], ARGV[5], ARGV[6]
if not is_alive(incarnation) then return 'stale' end
local held = base .. 'held:' .. incarnation
if call('HEXISTS', held, channel) == 0 then return {1, 0, revision()} end
local removed = 0
if user and call('HEXISTS', held .. ':' .. channel, user) == 1 then
  removed = -move_user(incarnation, channel, user, -1)
end
local count = move(incarnation, channel, -1)
if removed == 1 and count > 0 then tell_removed(channel, user) end
return {count, removed, revision()}
