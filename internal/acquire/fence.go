package acquire

import "github.com/b0401464/redlock/internal/round"

// maxToken is the largest fencing token: as far as the numbers of Redis' scripts
// are exact.
const maxToken = 1<<53 - 1

// fencing returns what an attempt that begins now asks for.
func (r *Request) fencing() round.Fencing {
	if r.config.Keep == 0 {
		return round.Fencing{}
	}
	return round.Fencing{Keep: r.config.Keep, Proposal: min(max(r.calls.Clock.Wall().UnixMicro(), 0), maxToken)}
}
