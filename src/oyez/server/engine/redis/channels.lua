-- cursor, prefix -> cursor, {channel, subscriptions, users, ...}; a few at a time, to block nobody
local prefix, found = ARGV[2], {}
local answer = call('HSCAN', base .. 'channels', ARGV[1], 'COUNT', 500)
local rows = answer[2]
for i = 1, #rows, 2 do
  local channel = rows[i]
  if string.sub(channel, 1, #prefix) == prefix then
    found[#found + 1] = channel
    found[#found + 1] = rows[i + 1]
    found[#found + 1] = call('HLEN', base .. 'users:' .. channel)
  end
end
return {answer[1], found}
