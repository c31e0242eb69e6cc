package redlock

import (
	"fmt"
	"sync/atomic"
	"time"
)

// A Fence stands before what a lock protects and turns away a holder that has
// been overtaken: one that was paused until its lock had ended and somebody else
// had been granted it. It remembers the largest fencing token that it has seen;
// see [WithFencing].
//
// The zero value is ready, and a Fence is safe for concurrent use. It must not be
// copied. It is for a resource that one process serves, and remembers nothing when
// that ends. Where the resource is a database, compare there, in the statement
// that writes:
//
//	UPDATE accounts SET balance = $1, fence = $2 WHERE id = $3 AND fence <= $2
//
// Where what is written depends on what was read, admit the token before the
// read: else an earlier holder can still write between the two.
type Fence struct {
	_ noCopy

	highest atomic.Int64
}

// Admit admits a holder by its token if no larger one has been admitted before;
// the same one may come again and again. Otherwise the error matches
// [ErrStaleToken]: nothing must be done for this holder any more. It matches
// [ErrInvalidArgument] if token is not positive, as that of a lock without
// fencing.
//
// What is done after Admit can still be overtaken by a larger token: where that
// matters, admit and act under one mutex.
func (f *Fence) Admit(token int64) error {
	if token < 1 {
		return invalid("fencing token %d: want that of a lock with WithFencing", token)
	}
	for {
		highest := f.highest.Load()
		if token < highest {
			return fmt.Errorf("%w: %d after %d", ErrStaleToken, token, highest)
		}
		if f.highest.CompareAndSwap(highest, token) {
			return nil
		}
	}
}

// WithFencing grants each lock with a fencing token, [Lock.Token]: a number that grows from
// grant to grant of a resource. What the lock protects compares it on every write, and
// refuses a holder that has been overtaken, as [Fence] does. By default there are no
// tokens.
//
// Each node keeps a counter for each resource. It expires keep after its last use, or
// never with [Forever]; keep must be at least twice the TTL of a lock and its extensions.
// Tokens grow as long as the nodes keep their counters; a lost one is made up for by
// clocks, of clients and nodes, that agree well enough. All that use a resource must use
// tokens, and the same nodes. A resource with a } and no hash tag is refused.
//
// More: docs/fencing.md.
func WithFencing(keep time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if keep < least && keep != Forever {
			return invalid("WithFencing(%v): want Forever, or "+wantLeast, keep)
		}
		c.Keep = keep
		return nil
	})
}

// WithoutFencing undoes, for one call, a [WithFencing] that [New] was given.
func WithoutFencing() LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		c.Keep = 0
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
	return k.hold.Token()
}
