-- incarnation, channel[, user] -> subscriptions, whether the user has gone, revision
local incarnation, channel, user = ARGV[1], ARGV[2], ARGV[3]
if not is_alive(incarnation) then return 'stale' end
local held = base .. 'held:' .. incarnation
if call('HEXISTS', held, channel) == 0 then return {1, 0, 0} end
local removed = 0
if user and call('HEXISTS', held .. ':' .. channel, user) == 1 then
  removed = -move_user(incarnation, channel, user, -1)
end
return {move(incarnation, channel, -1), removed, user and revision() or 0}
