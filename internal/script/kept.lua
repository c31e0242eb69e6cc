-- What a gate puts in the place of a resource that is kept for the next one in line, so that
-- a plain SET NX of others is refused there. It says nothing else: the reservation tells for
-- whom, and where that is gone the resource is free.
local kept = "redlock:next"
