-- KEYS resources, first those whose line is kept here, then the line and the reservation of each of these; ARGV[1] value, ARGV[2] how many lines are kept here, ARGV[3] how many of a line to call until one hears it, ARGV[4] ms to reserve for that one; returns 1 if all were ours and are removed, -1 if one was not; those that were are removed all the same; or {that, "next", which of the first KEYS are reserved now, each before for whom if the server refuses to tell that one...}.

-- include hint.lua
-- include kept.lua
-- include alias.lua
-- include call.lua

local lines = tonumber(ARGV[2])
local resources = #KEYS - 2 * lines
local all, failure, free = 1, nil, {}
for i = 1, resources do
  local value = redis.pcall("GET", KEYS[i])
  if type(value) == "table" then
    failure = value -- a key of another type must not keep the others from going
  elseif value == ARGV[1] then
    redis.call("DEL", KEYS[i])
    free[i] = true
  else
    all, free[i] = -1, not value or value == kept
  end
end
local told = {all, "next"}
for i = 1, lines do
  local line, reservation = KEYS[resources + 2 * i - 1], KEYS[resources + 2 * i]
  if free[i] and hint(redis.pcall("EXISTS", reservation)) ~= 0 then
    local own = hint(redis.pcall("GET", reservation))
    local heard, untold
    if own and hint(redis.pcall("ZSCORE", line, own)) then heard, untold = call(own, KEYS[i]) end -- else it was called
    local left = hint(redis.pcall("PTTL", reservation)) or 0
    if left > 0 and left <= 1000 then redis.pcall("SET", KEYS[i], kept, "PX", left) end
    told[#told + 1] = i
    told[#told + 1] = untold
  elseif free[i] then
    local heads = hint(redis.pcall("ZRANGE", line, 0, ARGV[3] - 1)) or {}
    local chosen, untold, dead = nil, nil, 0
    for j, head in ipairs(heads) do
      local heard
      heard, untold = call(head, KEYS[i])
      -- Nobody listens for a process that has died. Where that cannot be told of
      -- anyone, the first one has its turn.
      if heard or ARGV[3] == "1" then
        chosen = head
        break
      end
      dead = j
    end
    if chosen then
      local ms = lasts(chosen, ARGV[4])
      redis.pcall("SET", reservation, chosen, "PX", ms)
      redis.pcall("SET", KEYS[i], kept, "PX", ms)
      told[#told + 1] = i
      told[#told + 1] = untold
    end
    if heads[1] then redis.pcall("ZREMRANGEBYRANK", line, 0, chosen and dead or dead - 1) end
  end
end
return failure or #told > 2 and told or all
