-- KEYS resource, its line, its reservation; ARGV[1] value, ARGV[2] the releasing Locker, ARGV[3] "pop" to let the next one go, "leave" to leave the line and let the next one go, each with a space and how many to call until one hears it if that can be told, or "keep" to go back into the line, ARGV[4] ms to reserve for the next one or, to go back, when it came first as for the acquire; returns 1 if the resource was ours and is removed, -1 if it was not; or {that, "next"} if it is reserved now.

local value, result = redis.call("GET", KEYS[1]), -1
if value == ARGV[1] then
  redis.call("DEL", KEYS[1])
  value, result = false, 1
end
-- Mostly nobody waits, and this is all there is to do.
if string.sub(ARGV[3], 1, 3) == "pop" and redis.pcall("EXISTS", KEYS[2], KEYS[3]) == 0 then return result end

-- Of the line everything is a hint: what is not as expected there is passed over.
local function hint(...)
  local reply = redis.pcall(...)
  if type(reply) == "table" and reply.err then return false end
  return reply
end

local mode, most = string.match(ARGV[3], "^(%a+) ?(%d*)$")
if mode == "keep" then
  local came = tonumber(ARGV[4])
  if not came and result == 1 then
    local now = hint("TIME")
    came = now and now[1] * 1000000 + now[2]
  end
  if came and result == 1 then
    hint("ZADD", KEYS[2], "NX", string.format("%.0f", came), ARGV[2])
    hint("PEXPIRE", KEYS[2], 10000)
  end
  return result
end
if mode == "leave" then
  hint("ZREM", KEYS[2], ARGV[2])
  if hint("GET", KEYS[3]) == ARGV[2] then hint("DEL", KEYS[3]) end
end
if value then return result end
if hint("EXISTS", KEYS[3]) ~= 0 then return {result, "next"} end
local heads = hint("ZRANGE", KEYS[2], 0, (tonumber(most) or 1) - 1) or {}
local chosen, dead = nil, 0
for i, head in ipairs(heads) do
  -- Nobody listens for a process that has died. Where that cannot be told of
  -- anyone, the first one has its turn.
  if hint("PUBLISH", "redlock:" .. head, KEYS[1]) ~= 0 or not tonumber(most) then
    chosen = head
    break
  end
  dead = i
end
if chosen then hint("SET", KEYS[3], chosen, "PX", ARGV[4]) end
if heads[1] then hint("ZREMRANGEBYRANK", KEYS[2], 0, chosen and dead or dead - 1) end
return chosen and {result, "next"} or result
