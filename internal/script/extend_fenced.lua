-- KEYS resources, then the counter of each; ARGV[1] value, ARGV[2] ttl in ms or 0 to leave the time alone, ARGV[3] the token, ARGV[4] ms to keep the counters or 0 for ever; returns the counter, which is the token or more, 1 if that is 1, if all were ours, -1 if one is gone, -2 if one is somebody else's.

-- include fence.lua
local resources = #KEYS / 2
local missing = false
for i = 1, resources do
  local value = redis.call("GET", KEYS[i])
  if value and value ~= ARGV[1] and value ~= "redlock:next" then return -2 end
  if value ~= ARGV[1] then missing = true end
end
if missing then return -1 end
local n = count(resources + 1, 2 * resources, false, 0, ARGV[3], ARGV[4])
if type(n) == "table" then return n end
-- Never shortens, as the extend script.
for i = 1, resources do
  local left = redis.call("PTTL", KEYS[i])
  if left >= 0 and left < tonumber(ARGV[2]) then redis.call("PEXPIRE", KEYS[i], ARGV[2]) end
end
return n
