-- KEYS resource, its line, its reservation, its counter if it is to have a token; ARGV[1] value, ARGV[2] ttl in ms, ARGV[3] the asking Locker, ARGV[4] when it came first in µs, "now", or "" not to wait, and with a counter ARGV[5] the proposal, ARGV[6] ms to keep the counter or 0 for ever; returns 1 if the resource is ours now, or the counter, else {remaining ms of the holder or the reservation, or -1; mark of the holder's value, or "next" for a reservation; rank in the line or -1; when it came first, or ""}.

-- Mostly the resource is free, and reserved for nobody.
if not KEYS[4] and (ARGV[4] == "" or ARGV[4] == "now") and redis.pcall("EXISTS", KEYS[3]) == 0 then
  local set = redis.pcall("SET", KEYS[1], ARGV[1], "NX", "PX", ARGV[2])
  if set and set.ok then return 1 end
end

-- Of the line everything is a hint: what is not as expected there is passed over.
local function hint(...)
  local reply = redis.pcall(...)
  if type(reply) == "table" and reply.err then return false end
  return reply
end

local holder = redis.call("GET", KEYS[1])
if holder == ARGV[1] then return KEYS[4] and count(4, true, 1, ARGV[5], ARGV[6]) or 1 end
local remaining, mark
if holder then
  remaining, mark = redis.call("PTTL", KEYS[1]), string.sub(redis.sha1hex(holder), 1, 8)
else
  local reserved, left = hint("GET", KEYS[3]), 0
  if reserved and reserved ~= ARGV[3] then left = hint("PTTL", KEYS[3]) or 0 end
  -- No release reserves for ever, or for longer than a second.
  if left <= 0 or left > 1000 then
    local n = KEYS[4] and count(4, false, 1, ARGV[5], ARGV[6]) or 1
    if type(n) == "table" then return n end
    redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
    if reserved then hint("DEL", KEYS[3]) end
    -- Who does not know when it came keeps that here, should it have to come back.
    if ARGV[4] ~= "" and ARGV[4] ~= "now" then hint("ZREM", KEYS[2], ARGV[3]) end
    return n
  end
  remaining, mark = left, "next"
end
if ARGV[4] == "" then return {remaining, mark, -1, ""} end

local came = ARGV[4]
if came == "now" then
  came = hint("ZSCORE", KEYS[2], ARGV[3])
  if not came then
    local now = hint("TIME")
    if not now then return {remaining, mark, -1, ""} end
    came = string.format("%.0f", now[1] * 1000000 + now[2])
  end
end
hint("ZADD", KEYS[2], "NX", came, ARGV[3])
-- Whoever waits asks again at least every 2.5 s.
hint("PEXPIRE", KEYS[2], 10000)
return {remaining, mark, hint("ZRANK", KEYS[2], ARGV[3]) or -1, came}
