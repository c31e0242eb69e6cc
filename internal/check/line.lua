-- KEYS the line, the reservation; ARGV[1] a channel, ARGV[2] ms to keep the keys; returns "done" and the names of the commands of a line that are refused here.
local all = {
  {"exists", KEYS[1], KEYS[2]}, {"time"}, {"zadd", KEYS[1], 1, "check"}, {"pexpire", KEYS[1], ARGV[2]},
  {"zscore", KEYS[1], "check"}, {"zrank", KEYS[1], "check"}, {"zrange", KEYS[1], 0, 0},
  {"zremrangebyrank", KEYS[1], 1, 1}, {"zrem", KEYS[1], "check"}, {"set", KEYS[2], "check", "PX", ARGV[2]},
  {"get", KEYS[2]}, {"pttl", KEYS[2]}, {"del", KEYS[1], KEYS[2]}, {"publish", ARGV[1], "check"},
}
local told = {"done"}
for _, command in ipairs(all) do
  local reply = redis.pcall(unpack(command))
  if type(reply) == "table" and reply.err then told[#told + 1] = command[1] end
end
return told
