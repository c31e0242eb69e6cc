-- KEYS resources; ARGV[1] value, for one resource ARGV[2] "try" to tell which command of the server does the same; returns 1 if all were ours and are removed, -1 if one was not; those that were are removed all the same; or {that, "native", which: "delex", "delifeq" or "none"}.

if #KEYS == 1 and not ARGV[2] then
  if redis.call("GET", KEYS[1]) ~= ARGV[1] then return -1 end
  redis.call("DEL", KEYS[1]) -- finds nothing where time goes on in a script, and it has run out
  return 1
end

-- include native.lua

local all, failure = 1, nil
for i = 1, #KEYS do
  local value = redis.pcall("GET", KEYS[i])
  if type(value) == "table" then
    failure = value -- a key of another type must not keep the others from going
  elseif value == ARGV[1] then
    redis.call("DEL", KEYS[i])
  else
    all = -1
  end
end
if ARGV[2] and not failure then return {all, "native", native()} end
return failure or all
