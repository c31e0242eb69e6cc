-- The counters of fencing tokens: decimal numbers up to 2^53 - 1, as far as a number of Lua is exact.

local limit = 9007199254740991
local exhausted = "TOKENLIMIT the fencing counter beside the resource has reached 2^53 - 1"

-- Brings the counters, which are KEYS from first to last, to one number, at least what
-- is asked, and more by step than the largest was; they last for keep ms at least,
-- 0 for ever. With old set they stay as they are if there is one. Returns the
-- number, or an error, and then nothing has changed.
local function count(first, last, old, step, asked, keep)
  local n, least, text, had = 0, limit, asked, {}
  for j = first, last do
    local has = redis.call("GET", KEYS[j])
    local is = 0
    if has then
      local digits = string.match(has, "^%d+$")
      if not digits then return redis.error_reply("ERR the fencing counter beside the resource is not a number") end
      is = tonumber(digits) or math.huge
    end
    had[j] = is
    if is > n then n = is end
    if is < least then least = is end
  end
  if n > limit then return redis.error_reply(exhausted) end
  if old and n > 0 then
    if least == n then return n end
    text = nil
  else
    step, asked = n + step, tonumber(asked)
    if asked > step and step > n then
      -- One bad clock must not use up the numbers of everybody. If it is the one here
      -- that is bad, by a day, nothing makes up for a counter that was lost.
      local now = redis.call("TIME")
      if asked > (now[1] + 86400) * 1000000 + now[2] then asked = 0 end
    end
    if asked > step then n = asked else n, text = step, nil end
    if n < 1 then n, text = 1, nil end
    if n > limit then return redis.error_reply(exhausted) end
  end
  text = text or string.format("%.0f", n)
  local most = tonumber(keep)
  for j = first, last do
    local left = redis.call("PTTL", KEYS[j])
    if had[j] == n and (left == -1 or most > 0) then
      -- What needs no memory goes on where there is none: an extension has to.
      if left ~= -1 and left < most then redis.call("PEXPIRE", KEYS[j], keep) end
    elseif left == -1 or most == 0 then
      redis.call("SET", KEYS[j], text)
    elseif left > most then
      redis.call("SET", KEYS[j], text, "PX", left)
    else
      redis.call("SET", KEYS[j], text, "PX", keep)
    end
  end
  return n
end
