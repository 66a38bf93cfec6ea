-- What the workers of a channel do to its clients and to their own leases, each call whole.
--
-- KEYS: facts (a hash: client, its facts), newest (a hash: key, its newest client), leases and buried (workers by the time
-- at which that ends); behind them the sets that this call is about: all keys that are touched are declared. ARGV: what to
-- do, and with what.
local what = ARGV[1]
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000

if what == 'swap' then
  -- client, old facts, new facts ('': none), commands that keep the sets right (each with the number of its key), a key that
  -- it lets go of
  local id, old, new = ARGV[2], ARGV[3], ARGV[4]
  local stands = redis.call('HGET', KEYS[1], id) or ''
  if stands ~= old or old == new then return stands end
  if new == '' then redis.call('HDEL', KEYS[1], id) else redis.call('HSET', KEYS[1], id, new) end
  for _, command in ipairs(cjson.decode(ARGV[5])) do
    local name, key, member, value = command[1], KEYS[command[2]], command[3], command[4]
    if value then redis.call(name, key, member, value) else redis.call(name, key, member) end
  end
  if ARGV[6] ~= '' and redis.call('HGET', KEYS[2], ARGV[6]) == id then redis.call('HDEL', KEYS[2], ARGV[6]) end
  return new
end

if what == 'of' then
  -- of sets of clients: return the facts of all that are in them
  local found = {}
  for index = 5, #KEYS do
    for _, id in ipairs(redis.call('SMEMBERS', KEYS[index])) do
      local facts = redis.call('HGET', KEYS[1], id)
      if facts then found[#found + 1] = facts end
    end
  end
  return found
end

local worker = ARGV[2]
if what == 'renew' then
  local standing = 'unknown'
  if redis.call('ZSCORE', KEYS[4], worker) then standing = 'taken' end
  if redis.call('ZSCORE', KEYS[3], worker) then standing = 'held' end
  redis.call('ZADD', KEYS[3], now + ARGV[3], worker)
  redis.call('ZREM', KEYS[4], worker)
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now)
  if tonumber(ARGV[3]) > 0 then  -- who resigns does not tell how long leases are
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], now + ARGV[3] + ARGV[4], '+inf')) do
      redis.call('ZADD', KEYS[3], now + ARGV[3], other)  -- it is from before the clock was set back
    end
  end
  local moved = redis.call('SMEMBERS', KEYS[5])
  redis.call('DEL', KEYS[5])
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
  redis.call('ZADD', KEYS[4], now + ARGV[3], worker)
  redis.call('DEL', KEYS[5])
  return 1
end
