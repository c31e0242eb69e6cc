-- Stands before every script that deals with the counters of fencing tokens: decimal numbers up to 2^53 - 1, as far as a number of Lua is exact.

local limit = 9007199254740991
local exhausted = "TOKENLIMIT the fencing counter beside the resource has reached 2^53 - 1"

-- Brings the counters, which are KEYS from first on, to one number, at least what
-- is asked, and more by step than the largest was; they last for keep ms at least,
-- 0 for ever. With old set they stay as they are if there is one. Returns the
-- number, or an error, and then nothing has changed.
local function count(first, old, step, asked, keep)
  local call, n, least, text, had = redis.call, 0, limit, asked, {}
  for i = first, #KEYS do
    local has = call("GET", KEYS[i])
    local is = 0
    if has then
      local digits = string.match(has, "^%d+$")
      if not digits then return redis.error_reply("ERR the fencing counter beside the resource is not a number") end
      is = tonumber(digits) or math.huge
    end
    had[i] = is
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
      -- One bad clock must not use up the numbers of everybody.
      local now = call("TIME")
      if asked > (now[1] + 86400) * 1000000 + now[2] then asked = 0 end
    end
    if asked > step then n = asked else n, text = step, nil end
    if n < 1 then n, text = 1, nil end
    if n > limit then return redis.error_reply(exhausted) end
  end
  text = text or string.format("%.0f", n)
  local most = tonumber(keep)
  for i = first, #KEYS do
    local left = call("PTTL", KEYS[i])
    if had[i] == n and (left == -1 or most > 0) then
      -- What needs no memory goes on where there is none: an extension has to.
      if left ~= -1 and left < most then call("PEXPIRE", KEYS[i], keep) end
    elseif left == -1 or most == 0 then
      call("SET", KEYS[i], text)
    elseif left > most then
      call("SET", KEYS[i], text, "PX", left)
    else
      call("SET", KEYS[i], text, "PX", keep)
    end
  end
  return n
end

