package rig

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// Eventually requires that check passes before the deadline.
func Eventually(t *testing.T, within time.Duration, check func(c *assert.CollectT)) {
	t.Helper()
	require.EventuallyWithT(t, check, within, Tick)
}

// Poll reports whether cond came true in time.
func Poll(within time.Duration, cond func() bool) bool {
	tick := time.NewTicker(Tick)
	defer tick.Stop()
	for deadline := time.Now().Add(within); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// Within returns what comes of something that must come.
func Within(t *testing.T, ended <-chan error) error {
	t.Helper()
	require.True(t, Poll(Patience, func() bool { return len(ended) > 0 }), "nobody is called")
	return <-ended
}

// Seldom is for callers that wait in line: they ask again too late for any test, so that
// one that is served was called, or has seen the lock before it run out.
var Seldom = redlock.WithRetry(redlock.Forever, time.Hour)

// StandInLine has wait called until stands says that its caller waits in a line, and
// returns what tells how that ends. On a busy machine the node that keeps the line may
// be too slow at first, and a caller then asks again by its schedule alone.
func StandInLine(t *testing.T, stands func() bool, wait func(context.Context) error) <-chan error {
	t.Helper()
	for deadline := time.Now().Add(Patience); ; {
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		ended := make(chan error, 1)
		go func() { ended <- wait(ctx) }()
		if Poll(Patience/20, func() bool { return len(ended) > 0 || stands() }) {
			return ended
		}
		cancel()
		if err := <-ended; err == nil {
			ended <- nil
			return ended
		}
		require.True(t, time.Now().Before(deadline), "nobody waits in line")
	}
}

// LockSeldom returns what locks and unlocks key, and asks again seldom.
func LockSeldom(l *redlock.Locker, key string) func(context.Context) error {
	return func(ctx context.Context) error {
		lock, err := l.Lock(ctx, key, LongTTL, Seldom)
		if err != nil {
			return err
		}
		return lock.Unlock(context.WithoutCancel(ctx))
	}
}

// Median sorts all and returns the one in the middle.
func Median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
