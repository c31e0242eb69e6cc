-- Tells a Locker that it is next for a resource, unless it looks by itself. Returns whether one
-- has heard it, as far as that can be told, and the Locker if the server refuses to tell: then
-- the client is to.
local function call(locker, resource)
  if looks(locker) then return true, nil end
  local heard = redis.pcall("PUBLISH", "redlock:" .. locker, resource)
  if type(heard) == "table" then return true, locker end
  return heard ~= 0, nil
end

-- For how many ms to reserve for a Locker: until it has looked, too.
local function lasts(locker, ms)
  if looks(locker) then return math.max(tonumber(ms), 300) end
  return ms
end
