-- channel -> ms since this record of the app began, members, revision
local born = call('GET', base .. 'born')
local age = born and now() - born or 0
return {age, call('HGETALL', base .. 'members:' .. ARGV[1]), revision()}
