-- KEYS resource, its line, its reservation, its counter if it is to have a token; ARGV[1] value, ARGV[2] ttl in ms, ARGV[3] the asking Locker, ARGV[4] when it came first in µs, "now", or "" not to wait, behind "look " to leave alone what is empty and reserved for nobody, before how many ms to reserve for this Locker while it is the first in line, and with a counter ARGV[5] the proposal, ARGV[6] ms to keep the counter or 0 for ever; returns 1 if the resource is ours now, or the counter, {that, "ours"} if it was before, else {remaining ms of the holder or the reservation, or -1; name of the holder's value, which begins with its mark, "next" for a reservation, or "none" if it is left alone; rank in the line or -1; when it came first, or ""}.

-- Mostly the resource is free, and reserved for nobody.
if not ARGV[5] and (ARGV[4] == "" or ARGV[4] == "now") and redis.pcall("EXISTS", KEYS[3]) == 0 then
  local set = redis.pcall("SET", KEYS[1], ARGV[1], "NX", "PX", ARGV[2])
  if set and set.ok then return 1 end
end

-- include hint.lua
-- include kept.lua
-- include name.lua
-- include alias.lua

local look, came = string.match(ARGV[4], "^(look) (.*)$")
came = came or ARGV[4]
local since, ms = string.match(came, "^(%d+) (%d+)$")
came = since or came
local holder = redis.call("GET", KEYS[1])
if holder == kept then holder = false end
if holder == ARGV[1] then
  local n = ARGV[5] and count(4, 4, true, 1, ARGV[5], ARGV[6]) or 1
  return type(n) == "table" and n or {n, "ours"}
end
local remaining, mark
local function isSelf(locker) return locker == ARGV[3] or locker == alias(ARGV[3]) end
if holder then
  remaining, mark = redis.call("PTTL", KEYS[1]), name(holder)
else
  local reserved, left = hint(redis.pcall("GET", KEYS[3])), 0
  if reserved and not isSelf(reserved) then left = hint(redis.pcall("PTTL", KEYS[3])) or 0 end
  -- No release reserves for ever, or for longer than a second.
  local passed = left <= 0 or left > 1000
  if passed and (not look or isSelf(reserved)) then
    local n = ARGV[5] and count(4, 4, false, 1, ARGV[5], ARGV[6]) or 1
    if type(n) == "table" then return n end
    redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
    if reserved then redis.pcall("DEL", KEYS[3]) end
    -- Who does not know when it came keeps that here, should it have to come back.
    if came ~= "" and came ~= "now" then redis.pcall("ZREM", KEYS[2], ARGV[3], alias(ARGV[3])) end
    return n
  end
  if passed then remaining, mark = -1, "none" else remaining, mark = left, "next" end
end
if came == "" then return {remaining, mark, -1, ""} end

local has = hint(redis.pcall("ZSCORE", KEYS[2], ARGV[3]))
local had = not has and hint(redis.pcall("ZSCORE", KEYS[2], alias(ARGV[3])))
if had then redis.pcall("ZREM", KEYS[2], alias(ARGV[3])) end
if came == "now" then
  came = has or had
  if not came then
    local now = hint(redis.pcall("TIME"))
    if not now then return {remaining, mark, -1, ""} end
    -- After all who are in line, whatever this clock has told them.
    local last = hint(redis.pcall("ZRANGE", KEYS[2], -1, -1, "WITHSCORES")) or {}
    came = string.format("%.0f", math.max(now[1] * 1000000 + now[2], (tonumber(last[2]) or 0) + 1))
  end
end
-- Who was called has lost its place, and may have been given another one before it says so.
if not has or (tonumber(came) or 0) < tonumber(has) then redis.pcall("ZADD", KEYS[2], came, ARGV[3]) end
-- Whoever waits asks again at least every 2.5 s.
redis.pcall("PEXPIRE", KEYS[2], 10000)
local rank = hint(redis.pcall("ZRANK", KEYS[2], ARGV[3])) or -1
-- A release does not reserve for long enough for one who is far away.
if ms and rank == 0 and holder and isSelf(hint(redis.pcall("GET", KEYS[3])) or ARGV[3]) then redis.pcall("SET", KEYS[3], ARGV[3], "PX", ms) end
return {remaining, mark, rank, came}
