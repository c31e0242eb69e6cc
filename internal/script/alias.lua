-- Whether the name of a Locker says that it looks by itself whether it is next.
local function looks(locker) return string.sub(locker, 1, 1) == "~" end

-- The other name of a Locker: it may have to look from now on, or be told again.
local function alias(locker) return looks(locker) and string.sub(locker, 2) or "~" .. locker end
