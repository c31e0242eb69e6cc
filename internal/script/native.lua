-- Which command of the server does what this script has done. It is tried where there is
-- nothing to do any more: an older server does not know it, and a user may not be allowed to.
local function native()
  if type(redis.pcall("DELEX", KEYS[1], "IFEQ", ARGV[1])) == "number" then return "delex" end
  if type(redis.pcall("DELIFEQ", KEYS[1], ARGV[1])) == "number" then return "delifeq" end
  return "none"
end
