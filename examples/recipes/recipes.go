// Package recipes has the recipes of docs/recipes.md: what programs do most often with a lock, each
// as a function to copy. Their tests hold them to what that page says of them.
package recipes

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/leader"
)

// NewClient returns a client that gives up on a node within seconds.
func NewClient(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:            addr,
		DialTimeout:     time.Second,
		DialerRetries:   1,           // attempts to connect; go-redis makes 5 by default
		ReadTimeout:     time.Second, // WriteTimeout follows it
		MaxRetries:      1,           // go-redis sends a command up to 3 times more by default
		PoolSize:        100,         // more than resources that are locked at the same moment
		ConnMaxIdleTime: time.Minute, // less than load balancers and NATs keep an idle flow; 30 minutes by default
	})
}

// ByHand does what With does, step by step.
func ByHand(ctx context.Context, locker *redlock.Locker,
	drawAndCharge func(ctx context.Context, lock *redlock.Lock) error,
) error {
	lock, err := locker.Lock(ctx, "invoice:42", 10*time.Second)
	if err != nil {
		return err
	}
	defer func() {
		// Without the caller's cancellation, Unlock waits for the outcome, but
		// no longer than the node timeout.
		if err := lock.Unlock(context.WithoutCancel(ctx)); err != nil {
			log.Printf("release: %v", err)
		}
	}()
	held, cancel := lock.Context(ctx) // ends with ctx, and when the lock is over
	defer cancel()

	err = drawAndCharge(held, lock) // what the function of With does, above
	if !lock.Valid() {              // another process may have begun before that was done
		return errors.Join(redlock.ErrLockLost, err)
	}
	return err
}

// UnlessBusy does nothing if another process is at it.
func UnlessBusy(ctx context.Context, locker *redlock.Locker,
	charge func(ctx context.Context, invoice int) error,
) error {
	lock, err := locker.TryLock(ctx, "invoice:42", 10*time.Second)
	if errors.Is(err, redlock.ErrContended) {
		return nil // another process is at it
	}
	if err != nil {
		return err
	}
	defer func() {
		if err := lock.Unlock(context.WithoutCancel(ctx)); err != nil {
			log.Printf("release: %v", err) // no reason to charge once more
		}
	}()
	held, cancel := lock.Context(ctx)
	defer cancel()

	err = charge(held, 42)
	if !lock.Valid() {
		return errors.Join(redlock.ErrLockLost, err)
	}
	return err
}

// Nightly is started by every host at the same time. One of them makes the
// report.
func Nightly(ctx context.Context, locker *redlock.Locker, report func(context.Context) error) error {
	// The tick is not released: a host whose clock is behind finds it taken.
	_, err := locker.Lock(ctx, "nightly-report:tick", time.Hour, redlock.WithMaxWait(time.Second))
	if errors.Is(err, redlock.ErrContended) {
		return nil // another host makes the report, or has made it
	}
	if err != nil {
		return err
	}
	// The report has a lock for as long as it takes, and this host one attempt to get it.
	return locker.Do(ctx, "nightly-report", 30*time.Second, report,
		redlock.WithAutoExtend(redlock.Forever), redlock.WithRetry(0, 0))
}

// Ship ships an order, unless another request is at it.
func Ship(locker *redlock.Locker, shipOrder func(ctx context.Context, id string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		began := false
		err := locker.Do(r.Context(), "order:"+id, 10*time.Second, func(ctx context.Context) error {
			began = true
			return shipOrder(ctx, id)
		}, redlock.WithMaxWait(500*time.Millisecond))
		switch {
		case err == nil:
			w.WriteHeader(http.StatusNoContent)
		case r.Context().Err() != nil: // the client has gone
		case errors.Is(err, redlock.ErrLockLost):
			http.Error(w, "cut off: another request may have begun before this one ended", http.StatusInternalServerError)
		case began: // what shipOrder returns may be of any kind
			http.Error(w, "shipping failed", http.StatusInternalServerError)
		case errors.Is(err, redlock.ErrContended):
			http.Error(w, "another request is working on this order", http.StatusConflict)
		default: // ErrNoQuorum or ErrShutdown
			w.Header().Set("Retry-After", "1")
			http.Error(w, "the lock is not available", http.StatusServiceUnavailable)
		}
	}
}

// Lead runs work in one process at a time, the others stand by. It returns when
// ctx ends, or work returns nil.
func Lead(ctx context.Context, locker *redlock.Locker, work func(ctx context.Context, token int64) error) error {
	return leader.Run(ctx, locker, "leader", 15*time.Second, func(ctx context.Context, term leader.Term) error {
		return work(ctx, term.Token) // this process leads until ctx ends
	}, leader.WithErrorHandler(func(err error) { log.Print("standing again: ", err) }))
}

// ImportAll imports batches one by one and holds the lock all the while.
func ImportAll(ctx context.Context, locker *redlock.Locker, batches []string,
	importBatch func(ctx context.Context, batch string) error,
) error {
	const ttl = 30 * time.Second // several times what one batch takes
	return locker.With(ctx, "import", ttl, func(ctx context.Context, lock *redlock.Lock) error {
		for _, batch := range batches {
			if ctx.Err() != nil {
				return context.Cause(ctx) // the lock is over, or the caller has cancelled
			}
			if err := importBatch(ctx, batch); err != nil {
				return err
			}
			// ErrNoQuorum means that the outcome is unknown: the lock is valid until
			// lock.Until(), and ctx ends then unless a later Extend succeeds.
			if err := lock.Extend(ctx, ttl); err != nil && !errors.Is(err, redlock.ErrNoQuorum) {
				return err
			}
		}
		return nil
	}, nil)
}

// Ready returns an error if the nodes are not fit for locks.
func Ready(ctx context.Context, locker *redlock.Locker) error {
	report, err := locker.Check(ctx, 30*time.Second) // the longest TTL of your locks
	if err != nil {
		return err
	}
	for _, f := range report.Findings {
		if f.Code == redlock.CodeNoMajority || f.Severity == redlock.SeverityUnsafe {
			return fmt.Errorf("not fit for locks:\n%v", report)
		}
	}
	if report.Worst() != 0 { // one node of several is down, something is slow, or worth knowing
		log.Print(report)
	}
	return nil
}
