-- incarnation ("" only to look), lease in ms, "1" to register -> standing, lapsed incarnations
local incarnation, moment = ARGV[1], now()
local standing = 'unknown'
if incarnation ~= '' then
  local lapses = call('ZSCORE', nodes, incarnation)
  if lapses and tonumber(lapses) > 0 then
    standing = 'alive'
  elseif lapses or call('ZSCORE', swept, incarnation) then
    standing = 'swept'
  elseif ARGV[3] == '1' then
    standing = 'new'
    call('SET', base .. 'born', moment, 'NX')
  end
  if standing == 'alive' or standing == 'new' then
    call('ZADD', nodes, moment + ARGV[2], incarnation)
  end
end
return {standing, call('ZRANGEBYSCORE', nodes, '-inf', moment, 'LIMIT', 0, 32)}
