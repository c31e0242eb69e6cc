package redlock

import (
	"time"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/round"
)

// maxToken is the largest fencing token: as far as the numbers of Redis' scripts
// are exact.
const maxToken = 1<<53 - 1

// WithFencing has each lock granted with a fencing token, [Lock.Token]: a number
// that grows from grant to grant of a resource. What the lock protects compares it
// on every write and turns away a holder that has been overtaken, as [Fence] does
// for a resource within one process. Without that a token is of no use.
//
// No token is issued twice, and a lock that is asked for after another one of the
// resource was granted has the larger token, whatever clocks, pauses and expiries
// do, as long as the nodes keep their counters. Where a node loses one, because it
// restarts without its data, evicts it, or it has expired, the clock of the client
// that is granted the lock next covers that if the clocks of the clients, then and
// at the earlier grants, differ by less than the time from the last grant or
// extension to the beginning of the attempt that is granted next.
//
// The counters are keys beside the resource. Each expires keep after its last use,
// so that many resources used once do not fill the nodes, or never with [Forever];
// of several clients the longest keep counts. All that take a token for a resource
// have to use the same nodes. Locks without fencing exclude locks with it, and the
// other way around.
//
// A token costs no further round trip, except where the counters of the nodes
// differ and are above the clock of the client: then one.
//
// keep has to be at least twice the ttl of a lock and of its extensions; a call
// with a longer one fails with [ErrInvalidArgument], and so does one for a resource
// that contains a } but no hash tag. It is an error if keep is not positive and
// not Forever. By default there are no tokens.
func WithFencing(keep time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if keep <= 0 && keep != Forever {
			return invalid("WithFencing(%v): want a positive duration, or Forever", keep)
		}
		c.keep = keep
		return nil
	})
}

// WithoutFencing undoes, for one call, a [WithFencing] that [New] was given.
func WithoutFencing() LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		c.keep = 0
		return nil
	})
}

// Token returns the lock's fencing token, which is positive and below 2^53, or 0
// if the lock was taken without [WithFencing]. It stays the same for as long as the
// lock is held.
func (k *Lock) Token() int64 {
	if k.zero() {
		return 0
	}
	return k.hold.grant.Token()
}

// token returns the token of what was acquired; 0 if there is none.
func (r *request) token() int64 {
	if r.hold.grant == nil {
		return 0
	}
	return r.hold.grant.Token()
}

// fencing returns what an attempt that begins now asks for.
func (r *request) fencing(now clock.Time) round.Fencing {
	return round.Fencing{Keep: r.call.keep, Proposal: min(max(now.Wall().UnixMicro(), 0), maxToken)}
}
