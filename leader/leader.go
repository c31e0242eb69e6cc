// Package leader elects one leader among the processes that run for the same name on the
// same Redis nodes. A term is a lock of package redlock, held for as long as possible, and
// asked for again when it is lost.
//
//	err := leader.Run(ctx, locker, "scheduler", 15*time.Second, func(ctx context.Context, term leader.Term) error {
//		return schedule(ctx, term.Token) // ctx ends the moment the term can no longer be trusted
//	})
//
// [Current] tells who leads.
//
// # Limits
//
// A term is a lease, with all limits of a lock. A leader that stalls after it last looked at
// its context may still be at work when the next one leads. Where that must do no harm, the
// resource that the leader writes to must compare [Term.Token], and refuse a smaller one
// than it has seen, as [redlock.Fence] does.
//
// After a crash of the leader, nobody leads for up to the TTL. While most of the nodes are
// down, nobody can begin a term, and the leader is stopped within the TTL.
//
// # What the function returns
//
// nil ends [Run], which returns nil: the work is done, or this process need not lead any
// more. Other processes go on.
//
// An error ends the term and not Run. The function of [WithErrorHandler] is called with it,
// or with the loss of the term. After a pause Run stands again. The pause is 0.5 s to 1 s.
// It doubles with each term in a row that lasted for less than 10 s, up to 5 s to 10 s, so
// that a function that always fails is called now and then.
//
// When the caller's context has ended, Run returns what the function returns. If the term
// was lost as well, the error matches [redlock.ErrLockLost] too, as that of
// [redlock.Locker.With] does.
//
// A panic, or [runtime.Goexit], comes out of Run when the term has been given up.
package leader

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/b0401464/redlock"
)

// A Term is the time for which one process leads, without a break.
type Term struct {
	Token int64     // grows from term to term; 0 with [redlock.WithoutFencing]
	Mark  string    // names the term, as [Current] and errors do; see [redlock.Lock.Mark]
	Since time.Time // when it began, by the clock of this process
}

// Run leads whenever it can, and calls fn for each term, one call at a time. It waits in
// line with the others that run for name, the key of the lock. A term lasts for as long as
// it can be extended. After a crash of the leader, nobody leads for ttl at most. 15 s suits
// most programs.
//
// The ctx of fn ends with the caller's and when the term can no longer be trusted. fn must
// return soon then. The package doc says what its result means.
//
// Run ends when ctx does, and with [redlock.ErrShutdown] after [redlock.Locker.Shutdown].
// For a bad argument the error matches [redlock.ErrInvalidArgument]. A taken name or nodes
// that are down never end it.
func Run(ctx context.Context, locker *redlock.Locker, name string, ttl time.Duration,
	fn func(ctx context.Context, term Term) error, opts ...Option,
) error {
	c, err := newConfig(ttl, opts)
	switch {
	case err != nil:
		return err
	case ctx == nil:
		return invalid("nil context")
	case fn == nil:
		return invalid("nil function")
	}
	pause := minPause
	for {
		over := ctx.Err() != nil // then With says so, and sends nothing
		led, began := false, time.Time{}
		err := locker.With(ctx, name, ttl, func(ctx context.Context, lock *redlock.Lock) error {
			led, began = true, time.Now()
			return fn(ctx, Term{Token: lock.Token(), Mark: lock.Mark(), Since: began})
		}, nil, c.lock...)
		if over || ends(ctx, led, err) {
			return err
		}
		if c.onError != nil && (led || ctx.Err() == nil) {
			c.onError(err)
		}
		if !led || time.Since(began) >= maxPause {
			pause = minPause
		}
		rest(ctx, pause)
		pause = min(2*pause, maxPause)
	}
}

// ends reports whether Run returns what With has returned; led says whether fn was called.
func ends(ctx context.Context, led bool, err error) bool {
	switch {
	case err == nil:
		return true
	case led: // what fn returns may be of any kind
		return ctx.Err() != nil
	case errors.Is(err, redlock.ErrInvalidArgument), errors.Is(err, redlock.ErrShutdown):
		return true
	}
	// Where ctx has ended just after With gave up, the next one says so.
	return ctx.Err() != nil && errors.Is(err, ctx.Err())
}

// Bounds of the pause between two terms.
const (
	minPause = time.Second
	maxPause = 10 * time.Second
)

// rest waits for half of d to d, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d/2 + rand.N(d/2)) //nolint:gosec // it only keeps processes apart
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Current tells who leads: the mark of the term, the text of [redlock.WithOwner] if its
// process has one, and since when. The zero Holder is nobody. It asks the nodes by
// [redlock.Locker.Inspect]. The answer is outdated when it arrives: print it, and decide
// nothing by it.
//
// The error matches [redlock.ErrNoQuorum] if too few nodes answered to tell, with a
// [*redlock.NodeError] for each that did not, or is that of Inspect.
func Current(ctx context.Context, locker *redlock.Locker, name string) (redlock.Holder, error) {
	s, err := locker.Inspect(ctx, name)
	if err != nil {
		return redlock.Holder{}, err
	}
	switch s.Verdict {
	case redlock.VerdictHeld:
		return s.Holder, nil
	case redlock.VerdictUnknown:
		return redlock.Holder{}, unknown(s)
	default: // free, or no majority is anybody's
		return redlock.Holder{}, nil
	}
}

// unknown returns the error of a State that does not tell who leads.
func unknown(s redlock.State) error {
	err := fmt.Errorf("%w to tell who leads %q", redlock.ErrNoQuorum, s.Resource)
	for _, n := range s.Nodes {
		if n.Err != nil {
			err = fmt.Errorf("%w; %w", err, n.Err)
		}
	}
	return err
}
