-- incarnation, three for `tell`, how many channels, for how many ms to remember it, "1" even if the
-- lease is good -> whether there is more, then per channel as restate
local incarnation, moment = ARGV[1], now()
local lapses = call('ZSCORE', nodes, incarnation)
if not lapses or (tonumber(lapses) > moment and ARGV[7] ~= '1') then return {0, {}} end
call('ZADD', nodes, 0, incarnation)
call('ZADD', swept, moment + ARGV[6], incarnation)
call('ZREMRANGEBYSCORE', swept, '-inf', moment)
local held, changes = base .. 'held:' .. incarnation, {}
local found = call('HSCAN', held, 0, 'COUNT', ARGV[5])[2]
for i = 1, #found, 2 do
  local channel, subscriptions, removed = found[i], found[i + 1], {}
  local users = call('HGETALL', held .. ':' .. channel)
  for j = 1, #users, 2 do
    if move_user(incarnation, channel, users[j], -users[j + 1]) == -1 then
      removed[#removed + 1] = users[j]
    end
  end
  local after = move(incarnation, channel, -subscriptions)
  if after > 0 then
    for _, user in ipairs(removed) do tell_removed(channel, user) end
  end
  changes[#changes + 1] = {channel, after + subscriptions, after, {}, removed, revision()}
end
local more = call('EXISTS', held)
if more == 0 then call('ZREM', nodes, incarnation) end
return {more, changes}
