-- Of the line everything is a hint: what is not as expected there is passed over.
local function hint(reply)
  if type(reply) == "table" and reply.err then return false end
  return reply
end
