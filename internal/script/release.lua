-- KEYS resources; ARGV[1] value; returns 1 if all were ours and are removed, -1 if one was not; those that were are removed all the same.

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
return failure or all
