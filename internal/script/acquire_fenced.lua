-- KEYS resources, then the counter of each; ARGV[1] value, ARGV[2] ttl in ms, ARGV[3] 1 for a token of its own or 0 to put a lock back, ARGV[4] the proposal or the lock's token, ARGV[5] ms to keep the counters or 0 for ever; returns the counter, 1 if there was none and nothing is asked, if all are ours now, {that, "ours"} if they were before, else {remaining ms of the holder or -1, name of the holder's value, which begins with its mark}.

-- include fence.lua
local resources = #KEYS / 2
-- The counters are read before anything is written, too.
-- include kept.lua
-- include read.lua
-- What is ours already was counted by an earlier copy of this command.
local n = count(resources + 1, 2 * resources, ARGV[3] == "1" and again, ARGV[3], ARGV[4], ARGV[5])
if type(n) == "table" then return n end
if again then return {n, "ours"} end
for _, key in ipairs(free) do redis.call("DEL", key) end
for i = 1, resources do redis.call("SET", KEYS[i], ARGV[1], "NX", "PX", ARGV[2]) end
return n
