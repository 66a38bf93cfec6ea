-- Settle where the log ends, and append a message to it. One stream is the log: an entry's id is <offset>-<token>, the
-- token a random number by which a history that was lost and written anew is told from the first. Each has the fields
-- e (epoch), b (bytes appended ever since, itself included) and t (milliseconds); m, the message, is missing only where an
-- epoch begins.
--
-- KEYS: the stream, the keys of once by their time, the same by their offset, the epochs before this one.
-- ARGV: an epoch and a token to use if need be; what the caller has seen: epoch ("" if that is not to be looked at),
--       offset, token; the most entries, bytes, milliseconds; then, to append: message, its bytes, and with a key of once: it, the most
--       keys, their milliseconds.
-- Returns epoch, offset and token of the entry, or, with nothing to append, of the last one, and the oldest offset.
local stream = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local message = ARGV[9]

local function number(value)
  return string.format('%.0f', value)
end

local function place(entry)
  local offset, token = string.match(entry[1], '^(%d+)-(%d+)$')
  return tonumber(offset), tonumber(token)
end

local function field(entry, name)
  for index = 1, #entry[2], 2 do
    if entry[2][index] == name then return entry[2][index + 1] end
  end
end

local function begin_epoch(offset, token, bytes, before)
  for _, old in ipairs({ARGV[3], before}) do
    if old ~= '' then redis.call('LPUSH', KEYS[4], old) end
  end
  redis.call('LTRIM', KEYS[4], 0, 99)
  redis.call('XADD', stream, number(offset) .. '-' .. number(token), 'e', ARGV[1], 'b', number(bytes), 't', number(now))
  return ARGV[1], token
end

-- Forget the oldest: too many, too large or too old; the newest stays. Some are looked at, and more if all of these went.
local function forget(some, newest, bytes)
  repeat
    local length = redis.call('XLEN', stream)
    local forgotten, index = math.max(0, length - ARGV[6]), 0
    for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', some)) do
      local too_large = bytes - field(entry, 'b') >= tonumber(ARGV[7])
      local too_old = tonumber(field(entry, 't')) <= now - ARGV[8]
      if place(entry) == newest or not (too_large or too_old) then break end
      index = index + 1
    end
    forgotten = math.max(forgotten, index)
    if forgotten > 0 then redis.call('XTRIM', stream, 'MAXLEN', length - forgotten) end
  until index < some
end

local function is_past(epoch)
  for _, old in ipairs(redis.call('LRANGE', KEYS[4], 0, -1)) do
    if old == epoch then return true end
  end
  return false
end

local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
local epoch, offset, token, bytes
if newest then
  offset, token = place(newest)
  epoch, bytes = field(newest, 'e'), tonumber(field(newest, 'b'))
else
  offset, bytes = 0, 0
  epoch, token = begin_epoch(0, 1, 0, '')
end

-- Never an offset twice in one epoch: what the caller has seen must be here, or have been forgotten behind the oldest. Its
-- epoch is this one, or one before; else the beginning of that was lost, too, and this one may have gone on before.
if epoch == ARGV[3] then
  local id = ARGV[4] .. '-' .. ARGV[5]
  if id ~= newest[1] and not redis.call('XRANGE', stream, id, id)[1] then
    local oldest = place(redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1])
    if oldest <= tonumber(ARGV[4]) then epoch, token = begin_epoch(offset, token + 1, bytes, epoch) end
  end
elseif newest and ARGV[3] ~= '' and not is_past(ARGV[3]) then
  epoch, token = begin_epoch(offset, token + 1, bytes, epoch)
end
if not message then
  forget(1, offset, bytes)
  local oldest = place(redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1])
  return {epoch, number(offset), number(token), number(oldest)}
end

local key = ARGV[11]
if key then
  local known = tonumber(redis.call('HGET', KEYS[3], key) or '')
  local at = tonumber(redis.call('ZSCORE', KEYS[2], key) or '')
  if known and at and known <= offset and at > now - ARGV[13] then
    return {epoch, number(known), '0'}
  end
end

offset, token, bytes = offset + 1, tonumber(ARGV[2]), bytes + ARGV[10]
redis.call('XADD', stream, number(offset) .. '-' .. ARGV[2], 'e', epoch, 'b', number(bytes), 't', number(now), 'm', message)

if offset % 16 == 0 then forget(32, offset, bytes) end

if key then
  redis.call('ZADD', KEYS[2], number(now), key)
  redis.call('HSET', KEYS[3], key, number(offset))
  local many = redis.call('ZCARD', KEYS[2]) - ARGV[12]
  local oldest = redis.call('ZRANGE', KEYS[2], 0, 1, 'WITHSCORES')
  for index = 1, #oldest, 2 do
    if many > 0 or tonumber(oldest[index + 1]) <= now - ARGV[13] then
      redis.call('ZREM', KEYS[2], oldest[index])
      redis.call('HDEL', KEYS[3], oldest[index])
      many = many - 1
    end
  end
end
return {epoch, number(offset), number(token)}
