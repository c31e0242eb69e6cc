-- Stands before every script that deals with the counters of fencing tokens: decimal numbers up to 2^53 - 1, as far as a number of Lua is exact.

local limit = 9007199254740991
local exhausted = "TOKENLIMIT the fencing counter beside the resource has reached 2^53 - 1"

-- Brings the counters, which are KEYS from first on, to one number, at least what
-- is asked, and more by step than the largest was; they last for keep ms at least,
-- 0 for ever. With old set they stay as they are if there is one. Returns the
-- number, or an error, and then nothing has changed.
local function count(first, old, step, asked, keep)
  local most, least = 0, limit
  for i = first, #KEYS do
    local text = redis.call("GET", KEYS[i]) or "0"
    local n = string.match(text, "^%d+$") and (tonumber(text) or math.huge)
    if not n then return redis.error_reply("ERR the fencing counter beside the resource is not a number") end
    most, least = math.max(most, n), math.min(least, n)
  end
  if most > limit then return redis.error_reply(exhausted) end
  if old and least > 0 and least == most then return most end
  asked, step = tonumber(asked), tonumber(step)
  if old and most > 0 then asked, step = most, 0 end
  if step > 0 and asked > most + step then
    -- One bad clock must not use up the numbers of everybody.
    local now = redis.call("TIME")
    if asked > (now[1] + 86400) * 1000000 + now[2] then asked = 0 end
  end
  local n = math.max(most + step, asked, 1)
  if n > limit then return redis.error_reply(exhausted) end
  for i = first, #KEYS do
    local left = redis.call("PTTL", KEYS[i])
    if left == -1 or keep == "0" then
      redis.call("SET", KEYS[i], string.format("%.0f", n))
    else
      redis.call("SET", KEYS[i], string.format("%.0f", n), "PX", string.format("%.0f", math.max(left, tonumber(keep))))
    end
  end
  return n
end

