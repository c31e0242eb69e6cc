-- The last key and the last argument are for this alone: a key that is there for as long as nobody need ask again, and for how many ms the server is to have been up.
local up, least = table.remove(KEYS), table.remove(ARGV)
local known, left = redis.pcall("GET", up), redis.call("PTTL", up)
-- It lasts for longer than it was given if the clock was set back, or somebody has copied it.
if (tonumber(known) or 0) < tonumber(least) or left < 0 or left > 50 then
  local seconds = tonumber(string.match(redis.call("INFO", "server"), "uptime_in_seconds:(%d+)") or "")
  if not seconds then return redis.error_reply("QUARANTINE the server does not tell for how long it is up") end
  -- What it has cut off both moments may add a second.
  if (seconds - 1) * 1000 < tonumber(least) then
    return redis.error_reply("QUARANTINE the server was started " .. seconds .. " s ago, and may have forgotten locks")
  end
  if not known or tonumber(known) then redis.pcall("SET", up, least, "PX", 50) end
end

