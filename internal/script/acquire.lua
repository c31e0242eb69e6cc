-- KEYS resources; ARGV[1] value, ARGV[2] ttl in ms; returns 1 if all are ours now, {1, "ours"} if they were before, else {remaining ms of the holder or -1, name of the holder's value, which begins with its mark}.

local resources = #KEYS
-- Mostly one key is asked for, and free.
if resources == 1 then
  local set = redis.pcall("SET", KEYS[1], ARGV[1], "NX", "PX", ARGV[2])
  if set and set.ok then return 1 end
end

-- include kept.lua
-- include read.lua
-- A node without memory refuses to set what is there, too.
if again then return {1, "ours"} end
for _, key in ipairs(free) do redis.call("DEL", key) end
for i = 1, resources do redis.call("SET", KEYS[i], ARGV[1], "NX", "PX", ARGV[2]) end
return 1
