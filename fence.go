package redlock

import (
	"fmt"
	"sync/atomic"
	"time"
)

// A Fence protects a resource that one process serves. It refuses a holder that was
// overtaken: one that was paused until its lock had ended and another holder had been
// granted it. It remembers the largest fencing token that it has seen; see [WithFencing].
//
// The zero value is ready, and a Fence is safe for concurrent use. It must not be copied,
// and remembers nothing when the process ends. In a database, let the statement that writes
// compare:
//
//	UPDATE accounts SET balance = $1, fence = $2 WHERE id = $3 AND fence <= $2
//
// If the write depends on a read, admit the token before the read. Otherwise an earlier
// holder can still write between the two.
type Fence struct {
	_ noCopy

	highest atomic.Int64
}

// Admit admits a holder by its token if it has admitted no larger one; the same token may
// come again and again. Otherwise the error matches [ErrStaleToken], and nothing must be
// done for this holder any more. It matches [ErrInvalidArgument] if token is not positive,
// as for a lock without fencing.
//
// A larger token can still be admitted between Admit and the action after it. Where that
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
// grant to grant of a resource. The protected resource compares it on every write and
// refuses a holder that was overtaken, as [Fence] does. By default there are no tokens.
//
// Each node keeps a counter for each resource. It expires keep after its last use, or never
// with [Forever]; keep must be at least twice the TTL of a lock and its extensions. Tokens
// grow as long as the nodes keep their counters; clocks that agree well enough make up for a
// lost one. All users of a resource must use tokens. A resource with a } and no hash tag is
// refused.
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

// WithoutFencing switches a [WithFencing] of [New] off for one call.
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
