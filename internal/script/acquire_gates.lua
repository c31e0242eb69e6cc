-- KEYS resources, first those whose line is kept here, then the reservation of each of these, then the counter of each resource if there is to be a token; ARGV[1] value, ARGV[2] ttl in ms, ARGV[3] the asking Locker, ARGV[4] how many resources, ARGV[5] how many lines are kept here, and with counters ARGV[6] the proposal, ARGV[7] ms to keep the counters or 0 for ever; returns 1 if all are ours now, or the counter, else {remaining ms of the holder or the reservation, or -1; mark of the holder's value, or "next" for a reservation}.

-- Of the line everything is a hint: what is not as expected there is passed over.
local function hint(...)
  local reply = redis.pcall(...)
  if type(reply) == "table" and reply.err then return false end
  return reply
end

local resources, lines = tonumber(ARGV[4]), tonumber(ARGV[5])
local free, holder, remaining = {}, nil, 0
for i = 1, resources do
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
local own = {}
for i = resources + 1, resources + (#free > 0 and lines or 0) do
  local reserved = hint("GET", KEYS[i])
  if reserved == ARGV[3] then
    own[#own + 1] = KEYS[i]
  elseif reserved then
    local left = hint("PTTL", KEYS[i]) or 0
    -- No release reserves for ever, or for longer than a second.
    if left <= 1000 then remaining = math.max(remaining, left) end
  end
end
if remaining > 0 then return {remaining, "next"} end
local first, n = resources + lines + 1, 1
if KEYS[first] then n = count(first, #free == 0, 1, ARGV[6], ARGV[7]) end
if type(n) == "table" then return n end
for _, key in ipairs(free) do redis.call("SET", key, ARGV[1], "PX", ARGV[2]) end
for _, key in ipairs(own) do hint("DEL", key) end
return n
