-- channel -> ms since this record of the app began, subscriptions, members, revision
local born = call('GET', base .. 'born')
local age = born and now() - born or 0
local count = tonumber(call('HGET', counts_of(ARGV[1]), ARGV[1]) or 0)
return {age, count, call('HGETALL', base .. 'members:' .. ARGV[1]), revision()}
