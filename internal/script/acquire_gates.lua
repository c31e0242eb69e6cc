-- KEYS resources, first those whose line is kept here, then the reservation of each of these, then the counter of each resource if there is to be a token; ARGV[1] value, ARGV[2] ttl in ms, ARGV[3] the asking Locker, ARGV[4] how many resources, ARGV[5] how many lines are kept here, and with counters ARGV[6] the proposal, ARGV[7] ms to keep the counters or 0 for ever; returns 1 if all are ours now, or the counter, {that, "ours"} if they were before, else {remaining ms of the holder or the reservation, or -1; name of the holder's value, which begins with its mark, or "next" for a reservation}.

-- include hint.lua
-- include kept.lua
-- include alias.lua

local resources, lines = tonumber(ARGV[4]), tonumber(ARGV[5])
-- include read.lua
local own = {}
for i = resources + 1, resources + (again and 0 or lines) do
  local reserved = hint(redis.pcall("GET", KEYS[i]))
  if reserved == ARGV[3] or reserved == alias(ARGV[3]) then
    own[#own + 1] = KEYS[i]
  elseif reserved then
    local left = hint(redis.pcall("PTTL", KEYS[i])) or 0
    -- No release reserves for ever, or for longer than a second.
    if left <= 1000 then remaining = math.max(remaining, left) end
  end
end
if remaining > 0 then return {remaining, "next"} end
local first, n = resources + lines + 1, 1
if KEYS[first] then n = count(first, #KEYS, again, 1, ARGV[6], ARGV[7]) end
if type(n) == "table" then return n end
if again then return {n, "ours"} end
for _, key in ipairs(free) do redis.call("DEL", key) end
for i = 1, resources do redis.call("SET", KEYS[i], ARGV[1], "NX", "PX", ARGV[2]) end
for _, key in ipairs(own) do redis.pcall("DEL", key) end
return n
