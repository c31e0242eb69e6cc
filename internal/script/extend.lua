-- KEYS resources; ARGV[1] value, ARGV[2] ttl in ms; returns 1 if all were ours and last at least ttl now, -1 if one is gone, -2 if one is somebody else's.

local resources = #KEYS
local missing = false
for i = 1, resources do
  local value = redis.call("GET", KEYS[i])
  if value and value ~= ARGV[1] and value ~= "redlock:next" then return -2 end
  if value ~= ARGV[1] then missing = true end
end
if missing then return -1 end
-- Never shortens: this can be a copy of an older command that arrives late. A
-- key without expiry (-1) outlasts any ttl.
for i = 1, resources do
  local left = redis.call("PTTL", KEYS[i])
  if left >= 0 and left < tonumber(ARGV[2]) then redis.call("PEXPIRE", KEYS[i], ARGV[2]) end
end
return 1
