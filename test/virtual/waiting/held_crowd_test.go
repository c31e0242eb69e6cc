package waiting_test

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
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

// A try is one attempt to lock something.
type try func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error)

func tryOne(resource string) try {
	return func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
		return l.TryLock(ctx, resource, rig.TTL)
	}
}

func tryAll(resources ...string) try {
	return func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
		return l.LockAll(ctx, resources, rig.TTL, rig.OneTry)
	}
}

// tryBeside has 200 callers try, ten times a second each, while their Locker holds some
// resources, on nodes that take 4 ms for a round trip.
func tryBeside(t *testing.T, held []string, try try) {
	t.Helper()
	const trip, few = 4 * time.Millisecond, 5
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		for _, n := range nodes {
			n.Slow(trip)
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
		before := rig.Sent(nodes)
		time.Sleep(time.Second)
		assert.GreaterOrEqual(t, tried.Load(), int64(3900))
		assert.Zero(t, rig.Sent(nodes)-before)
		assert.LessOrEqual(t, took(t, func() error { return k.Unlock(ctx) }), few*trip)
		cancel()
		wg.Wait()
		time.Sleep(time.Minute)
		assert.Zero(t, seam.Queues(l))
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

func TestCallersThatTryOnceCostTheHolderInTheirLockerNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		held []string
		try  try
	}{
		"TryLock":                   {[]string{"a"}, tryOne("a")},
		"TryLock of one of several": {[]string{"a", "b"}, tryOne("b")},
		"Lock without retries": {[]string{"a"}, func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
			return l.Lock(ctx, "a", rig.TTL, rig.OneTry)
		}},
		"TryLock with a token": {[]string{"a"}, func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
			return l.TryLock(ctx, "a", rig.TTL, redlock.WithFencing(time.Hour))
		}},
		"LockAll beside one":     {[]string{"b"}, tryAll("a", "b", "c")},
		"LockAll beside LockAll": {[]string{"a", "b"}, tryAll("b", "c")},
		"WithAll": {[]string{"a", "b"}, func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
			return nil, l.WithAll(ctx, []string{"b", "c"}, rig.TTL, func(context.Context, *redlock.Lock) error { return nil }, nil, rig.OneTry)
		}},
	} {
		t.Run(name, func(t *testing.T) { tryBeside(t, tt.held, tt.try) })
	}
}
