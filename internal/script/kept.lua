-- What a gate puts in the place of a resource that is kept for the next one in line, so that
-- a plain SET NX is refused there. It says nothing else: the reservation tells for whom, and
-- scripts that do not look at that take the resource for free.
local kept = "redlock:next"
