-- What names a holder: the beginning of a hash of its value and, where that is one of this
-- library which tells them, since when it is there and whose it is. The random part stays here.
local function name(value)
  local mark = string.sub(redis.sha1hex(value), 1, 8)
  local told = #value <= 175 and string.match(value, "^[0-9a-f]+( %d+ .+)$")
  if told and #value - #told == 32 then return mark .. told end
  return mark
end
