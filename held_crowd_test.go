package redlock_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// A try is one attempt to lock something.
type try func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error)

func tryOne(resource string) try {
	return func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
		return l.TryLock(ctx, resource, ttl)
	}
}

func tryAll(resources ...string) try {
	return func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
		return l.LockAll(ctx, resources, ttl, oneTry)
	}
}

// tryBeside has 200 callers try, ten times a second each, while their Locker holds some
// resources, on nodes that take 4 ms for a round trip.
func tryBeside(t *testing.T, held []string, try try) {
	t.Helper()
	const trip, few = 4 * time.Millisecond, 5
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		for _, n := range nodes {
			n.slow(trip)
		}
		k, err := l.LockAll(t.Context(), held, 2*time.Second)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var tried atomic.Int64
		for i := range 200 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond / 2)
				for ctx.Err() == nil {
					k, err := try(ctx, l)
					if err == nil {
						assert.NoError(t, k.Unlock(context.WithoutCancel(ctx)))
						return
					}
					tried.Add(1)
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		time.Sleep(time.Second)
		assert.LessOrEqual(t, took(t, func() error { return k.Extend(ctx, 2*time.Second) }), few*trip)
		synctest.Wait()
		before := sent(nodes)
		time.Sleep(time.Second)
		assert.GreaterOrEqual(t, tried.Load(), int64(3900))
		assert.Zero(t, sent(nodes)-before)
		assert.LessOrEqual(t, took(t, func() error { return k.Unlock(ctx) }), few*trip)
		cancel()
		wg.Wait()
		time.Sleep(time.Minute)
		assert.Zero(t, redlock.Lines(l))
	})
}

// took returns how long fn took, which must not fail.
func took(t *testing.T, fn func() error) time.Duration {
	t.Helper()
	start := time.Now()
	assert.NoError(t, fn())
	t.Log(time.Since(start))
	return time.Since(start)
}

// sent returns how many commands the nodes were sent.
func sent(nodes []*node) (all int) {
	for _, n := range nodes {
		all += n.commands()
	}
	return all
}

func TestCallersThatTryOnceCostTheHolderInTheirLockerNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		held []string
		try  try
	}{
		"TryLock":                   {[]string{"a"}, tryOne("a")},
		"TryLock of one of several": {[]string{"a", "b"}, tryOne("b")},
		"Lock without retries": {[]string{"a"}, func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
			return l.Lock(ctx, "a", ttl, oneTry)
		}},
		"TryLock with a token": {[]string{"a"}, func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
			return l.TryLock(ctx, "a", ttl, redlock.WithFencing(time.Hour))
		}},
		"LockAll beside one":     {[]string{"b"}, tryAll("a", "b", "c")},
		"LockAll beside LockAll": {[]string{"a", "b"}, tryAll("b", "c")},
		"WithAll": {[]string{"a", "b"}, func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
			return nil, l.WithAll(ctx, []string{"b", "c"}, ttl, func(context.Context, *redlock.Lock) error { return nil }, nil, oneTry)
		}},
	} {
		t.Run(name, func(t *testing.T) { tryBeside(t, tt.held, tt.try) })
	}
}
