-- KEYS resource, its line, its reservation; ARGV[1] value, ARGV[2] the releasing Locker, ARGV[3] "pop" to let the next one go, "poptry" to tell besides, if nobody waits, which command of the server does the same, "leave" to leave the line and let the next one go, "undo" to let the next one go if something is removed, each with a space and how many to call until one hears it if that can be told, and with " =" and the mark of another value here that is no lock, as a majority had ours, or "keep" to go back into the line, ARGV[4] ms to reserve for the next one or, to go back, when it came first as for the acquire; returns 1 if the resource was ours and is removed, -1 if it was not; or {that, "next"} if it is reserved now, or {that, "next", whom} if the server refuses to tell that one; or {that, "native", which: "delex", "delifeq" or "none"}.

-- include native.lua

local value, result = redis.call("GET", KEYS[1]), -1
if value == ARGV[1] then
  redis.call("DEL", KEYS[1])
  value, result = false, 1
end
-- Mostly nobody waits, and this is all there is to do.
if string.sub(ARGV[3], 1, 3) == "pop" and redis.pcall("EXISTS", KEYS[2], KEYS[3]) == 0 then
  return string.sub(ARGV[3], 4, 6) == "try" and {result, "native", native()} or result
end

-- include hint.lua
-- include kept.lua
-- include alias.lua
-- include call.lua

local mode, most, stale = string.match(ARGV[3], "^(%a+) ?(%d*) ?=?(%x*)$")
if mode == "keep" then
  local came = tonumber(ARGV[4])
  if not came and result == 1 then
    local now, last = hint(redis.pcall("TIME")), hint(redis.pcall("ZRANGE", KEYS[2], -1, -1, "WITHSCORES")) or {}
    came = now and math.max(now[1] * 1000000 + now[2], (tonumber(last[2]) or 0) + 1)
  end
  if came and result == 1 then
    redis.pcall("ZADD", KEYS[2], "NX", string.format("%.0f", came), ARGV[2])
    redis.pcall("PEXPIRE", KEYS[2], 10000)
  end
  return result
end
if mode == "undo" and result == -1 then return result end
if value == kept then value = false end
if mode == "leave" then
  redis.pcall("ZREM", KEYS[2], ARGV[2], alias(ARGV[2]))
  local reserved = hint(redis.pcall("GET", KEYS[3]))
  if reserved == ARGV[2] or reserved == alias(ARGV[2]) then
    redis.pcall("DEL", KEYS[3])
    if not value then redis.call("DEL", KEYS[1]) end
  end
end
if value and (stale == "" or string.sub(redis.sha1hex(value), 1, 8) ~= stale) then return result end
if hint(redis.pcall("EXISTS", KEYS[3])) ~= 0 then
  -- Who stands in line has reserved it for itself, and is to hear of this. Any other was called.
  local own = hint(redis.pcall("GET", KEYS[3]))
  local heard, untold = true, nil
  if own and hint(redis.pcall("ZSCORE", KEYS[2], own)) then heard, untold = call(own, KEYS[1]) end
  if heard or not tonumber(most) then
    local left = hint(redis.pcall("PTTL", KEYS[3])) or 0
    if not value and left > 0 and left <= 1000 then redis.pcall("SET", KEYS[1], kept, "PX", left) end
    return {result, "next", untold}
  end
  redis.pcall("DEL", KEYS[3])
  if not value then redis.call("DEL", KEYS[1]) end
end
local heads = hint(redis.pcall("ZRANGE", KEYS[2], 0, (tonumber(most) or 1) - 1)) or {}
local chosen, untold, dead = nil, nil, 0
for i, head in ipairs(heads) do
  local heard
  heard, untold = call(head, KEYS[1])
  -- Nobody listens for a process that has died. Where that cannot be told of
  -- anyone, the first one has its turn.
  if heard or not tonumber(most) then
    chosen = head
    break
  end
  dead = i
end
if chosen then
  local ms = lasts(chosen, ARGV[4])
  redis.pcall("SET", KEYS[3], chosen, "PX", ms)
  if not value then redis.pcall("SET", KEYS[1], kept, "PX", ms) end
end
if heads[1] then redis.pcall("ZREMRANGEBYRANK", KEYS[2], 0, chosen and dead or dead - 1) end
return chosen and {result, "next", untold} or result
