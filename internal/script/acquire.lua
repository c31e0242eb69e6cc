-- KEYS resources; ARGV[1] value, ARGV[2] ttl in ms; returns 1 if all are ours now, else {remaining ms of the holder or -1, mark of the holder's value}.

-- Mostly one key is asked for, and free.
local set = not KEYS[2] and redis.pcall("SET", KEYS[1], ARGV[1], "NX", "PX", ARGV[2])
if set and set.ok then return 1 end

-- All keys are read before one is written: a refusal leaves every node as it
-- was. A key that is ours already was set by an earlier copy of this command;
-- its time is left alone, so a late copy cannot shorten it.
local free, holder, remaining = {}, nil, 0
for _, key in ipairs(KEYS) do
  local value = redis.call("GET", key)
  if not value then
    free[#free + 1] = key
  elseif value ~= ARGV[1] then
    holder = holder or value
    local left = redis.call("PTTL", key)
    if left < 0 or remaining < 0 then remaining = -1 else remaining = math.max(remaining, left) end
  end
end
if holder then return {remaining, string.sub(redis.sha1hex(holder), 1, 8)} end
for _, key in ipairs(free) do redis.call("SET", key, ARGV[1], "PX", ARGV[2]) end
return 1
