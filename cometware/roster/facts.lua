-- What the workers of a channel do to its clients and to their own leases, each call whole.
--
-- KEYS: facts (a hash: client, its facts), newest (a hash: key, its newest client), leases and buried (workers by the time
-- at which that ends). ARGV: what to do, and with what; all that depends on a name lies below the prefix ARGV[2].
local what, prefix = ARGV[1], ARGV[2]
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000

if what == 'swap' then
  -- client, old facts, new facts ('': none), commands that keep the sets right, a key that it lets go of
  local id, old, new = ARGV[3], ARGV[4], ARGV[5]
  local stands = redis.call('HGET', KEYS[1], id) or ''
  if stands ~= old or old == new then return stands end
  if new == '' then redis.call('HDEL', KEYS[1], id) else redis.call('HSET', KEYS[1], id, new) end
  for _, command in ipairs(cjson.decode(ARGV[6])) do redis.call(unpack(command)) end
  if ARGV[7] ~= '' and redis.call('HGET', KEYS[2], ARGV[7]) == id then redis.call('HDEL', KEYS[2], ARGV[7]) end
  return new
end

if what == 'of' then
  -- sets of clients: return the facts of all that are in them
  local found = {}
  for index = 3, #ARGV do
    for _, id in ipairs(redis.call('SMEMBERS', prefix .. ARGV[index])) do
      local facts = redis.call('HGET', KEYS[1], id)
      if facts then found[#found + 1] = facts end
    end
  end
  return found
end

local worker = ARGV[3]
if what == 'renew' then
  local standing = 'unknown'
  if redis.call('ZSCORE', KEYS[4], worker) then standing = 'taken' end
  if redis.call('ZSCORE', KEYS[3], worker) then standing = 'held' end
  redis.call('ZADD', KEYS[3], now + ARGV[4], worker)
  redis.call('ZREM', KEYS[4], worker)
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now)
  if tonumber(ARGV[4]) > 0 then  -- who resigns does not tell how long leases are
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], now + ARGV[4] + ARGV[5], '+inf')) do
      redis.call('ZADD', KEYS[3], now + ARGV[4], other)  -- it is from before the clock was set back
    end
  end
  local moved = redis.call('SMEMBERS', prefix .. 'moved:' .. worker)
  redis.call('DEL', prefix .. 'moved:' .. worker)
  local dead = {}
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now)) do
    if other ~= worker then dead[#dead + 1] = other end
  end
  return {standing, moved, dead}
end

if what == 'alive' then
  local till = redis.call('ZSCORE', KEYS[3], worker)
  return till and tonumber(till) > now and 1 or 0
end

if what == 'bury' then
  local till = redis.call('ZSCORE', KEYS[3], worker)
  if not till or tonumber(till) > now then return 0 end
  redis.call('ZREM', KEYS[3], worker)
  redis.call('ZADD', KEYS[4], now + ARGV[4], worker)
  redis.call('DEL', prefix .. 'moved:' .. worker)
  return 1
end
