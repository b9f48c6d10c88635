-- incarnation, three for `tell`, then per channel MessagePack of
-- {channel, subscriptions, {{user, connections, info}}}
-- -> per channel {channel, before, after, {added}, {removed}, revision}
local incarnation = ARGV[1]
if not is_alive(incarnation) then return 'stale' end
local held, changes = base .. 'held:' .. incarnation, {}
for at = 5, #ARGV do
  local channel, subscriptions, users = unpack(cmsgpack.unpack(ARGV[at]))
  local added, removed, stated, infos = {}, {}, {}, {}
  for _, each in ipairs(users) do
    local user, connections, info = unpack(each)
    stated[user], infos[user] = true, info
    local delta = connections - (call('HGET', held .. ':' .. channel, user) or 0)
    if delta ~= 0 and move_user(incarnation, channel, user, delta, info) == 1 then
      added[#added + 1] = user
    end
  end
  local old = call('HGETALL', held .. ':' .. channel)
  for i = 1, #old, 2 do
    if not stated[old[i]] and move_user(incarnation, channel, old[i], -old[i + 1]) == -1 then
      removed[#removed + 1] = old[i]
    end
  end
  local delta = subscriptions - (call('HGET', held, channel) or 0)
  local after = tonumber(call('HGET', counts_of(channel), channel) or 0)
  if delta ~= 0 then after = move(incarnation, channel, delta) end
  if after > 0 then
    for _, user in ipairs(removed) do tell_removed(channel, user) end
    for _, user in ipairs(added) do tell_added(channel, user, infos[user]) end
  end
  changes[#changes + 1] = {channel, after - delta, after, added, removed, revision()}
end
return changes
