-- KEYS resources, then the counter of each; ARGV[1] value, ARGV[2] ttl in ms, ARGV[3] 1 for a token of its own or 0 to put a lock back, ARGV[4] the proposal or the lock's token, ARGV[5] ms to keep the counters or 0 for ever; returns the counter, 1 if there was none and nothing is asked, if all are ours now, else {remaining ms of the holder or -1, mark of the holder's value}.

-- As the acquire script, and the counters are read before anything is written.
local free, holder, remaining = {}, nil, 0
for i = 1, #KEYS / 2 do
  local value = redis.call("GET", KEYS[i])
  if not value then
    free[#free + 1] = KEYS[i]
  elseif value ~= ARGV[1] then
    holder = holder or value
    local left = redis.call("PTTL", KEYS[i])
    if left < 0 or remaining < 0 then remaining = -1 else remaining = math.max(remaining, left) end
  end
end
if holder then return {remaining, string.sub(redis.sha1hex(holder), 1, 8)} end
-- What is ours already was counted by an earlier copy of this command.
local n = count(#KEYS / 2 + 1, ARGV[3] == "1" and #free == 0, ARGV[3], ARGV[4], ARGV[5])
if type(n) == "table" then return n end
for _, key in ipairs(free) do redis.call("SET", key, ARGV[1], "PX", ARGV[2]) end
return n
