-- include name.lua
-- All keys are read before one is written: a refusal leaves every node as it
-- was. A key that is ours already was set by an earlier copy of this command;
-- its time is left alone, so a late copy cannot shorten it. What is kept for the next one
-- in line is free: the reservation is looked at besides, by who heeds it.
local held, holder, remaining, free = 0, nil, 0, {}
for i = 1, resources do
  local value = redis.call("GET", KEYS[i])
  if value == ARGV[1] then
    held = held + 1
  elseif value == kept then
    free[#free + 1] = KEYS[i]
  elseif value then
    holder = holder or value
    local left = redis.call("PTTL", KEYS[i])
    if left < 0 or remaining < 0 then remaining = -1 else remaining = math.max(remaining, left) end
  end
end
if holder then return {remaining, name(holder)} end
local again = held == resources
