package redlock_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// farFrom returns the same nodes as another process sees them that is d farther away.
func farFrom(t *testing.T, nodes []*node, d time.Duration) []*node {
	t.Helper()
	all := make([]*node, len(nodes))
	for i, n := range nodes {
		far := &node{Miniredis: n.Miniredis, delay: d}
		far.client = redis.NewClient(&redis.Options{
			Addr: fmt.Sprintf("127.0.0.%d:6379", i+1), Dialer: far.dial, PoolSize: 5000,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})
		t.Cleanup(func() { _ = far.client.Close() })
		all[i] = far
	}
	return all
}

func waitBeside(t *testing.T, set ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		near, far := newLocker(t, nodes), newLocker(t, farFrom(t, nodes, 3*time.Millisecond))
		warmUp(t, near)
		warmUp(t, far)
		for _, n := range nodes {
			n.slow(time.Millisecond)
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		var turns atomic.Int64
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
				}
				k, err := near.LockAll(t.Context(), set, ttl, redlock.WithRetry(redlock.Forever, 20*time.Millisecond))
				if !assert.NoError(t, err) {
					return
				}
				time.Sleep(5 * time.Millisecond)
				turns.Add(1)
				assert.NoError(t, k.Unlock(t.Context()))
			}
		}()
		time.Sleep(100 * time.Millisecond)
		start, before := time.Now(), turns.Load()
		k, err := far.Lock(t.Context(), "a", ttl, redlock.WithRetry(redlock.Forever, 400*time.Millisecond), redlock.WithMaxWait(30*time.Second))
		t.Log("waited", time.Since(start), "turns of the other meanwhile", turns.Load()-before, err)
		close(stop)
		assert.NoError(t, err)
		assert.LessOrEqual(t, turns.Load()-before, int64(20), "turns of the other, which came later each time")
		if err == nil {
			require.NoError(t, k.Unlock(t.Context()))
		}
		<-stopped
		time.Sleep(time.Minute)
	})
}

func TestOneInLineHasItsTurnBesideLocksOnOne(t *testing.T)     { waitBeside(t, "a") }
func TestOneInLineHasItsTurnBesideLocksOnSeveral(t *testing.T) { waitBeside(t, "a", "b") }

func TestACallerForSeveralIsWokenThoughAnotherOneWaitsForMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		b, a := lockAll(t, l, "b"), lockAll(t, l, "a")
		first := want(t, l, []string{"a", "b"}, rarely...)
		second := want(t, l, []string{"a", "c"}, rarely...)
		unlock(t, a) // b keeps the first one from going on
		assert.True(t, second.has(), "a and c are free, and nobody has told it")
		unlock(t, b)
		require.False(t, first.has())
		unlock(t, second.lock)
		require.True(t, first.has())
		unlock(t, first.lock)
	})
}

// The first one is told, and its ctx ends while it asks: nobody is told instead.
func TestAWakeUpIsPassedOnByWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		a := lockAll(t, l, "a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		first := make(chan error, 1)
		go func() {
			_, err := l.LockAll(ctx, []string{"a", "b"}, ttl, rarely...)
			first <- err
		}()
		synctest.Wait()
		second := want(t, l, []string{"a", "b"}, rarely...)
		for _, n := range nodes {
			n.slow(5 * time.Millisecond)
		}
		time.AfterFunc(7*time.Millisecond, cancel) // its attempt is under way
		unlock(t, a)
		require.ErrorIs(t, <-first, context.Canceled)
		time.Sleep(time.Second)
		assert.True(t, second.has(), "both are free for a second, and nobody has told it")
		<-second.done
		unlock(t, second.lock)
	})
}

// The lock begins before the caller for several asks, and ends while it asks: that
// is when it is refused, and nobody tells it that the reason has gone.
func TestACallerForSeveralIsToldOfALockThatEndsWhileItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		unlock(t, lockAll(t, l, "a", "b")) // loads the scripts
		for _, n := range nodes {
			n.slow(10 * time.Millisecond)
		}
		go func() {
			k, err := l.Lock(t.Context(), "a", ttl)
			if assert.NoError(t, err) {
				assert.NoError(t, k.Unlock(t.Context())) // a section that takes no time
			}
		}()
		time.Sleep(time.Millisecond)
		w := want(t, l, []string{"a", "b"}, rarely...)
		time.Sleep(time.Second)
		require.True(t, w.has(), "both are free for a second, and nobody has told it")
		unlock(t, w.lock)
	})
}

// Two callers that came first ask in vain again and again for what another process
// has. What the third one wants is free.
func TestACallerForSeveralHasItsTurnBesideThoseThatCameFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		k, err := newLocker(t, nodes).Lock(t.Context(), "x", time.Hour)
		require.NoError(t, err)
		for _, n := range nodes {
			n.slow(10 * time.Millisecond)
		}
		for range 2 {
			go func() {
				_, err := l.LockAll(t.Context(), []string{"a", "x"}, ttl, redlock.WithRetry(redlock.Forever, 5*time.Millisecond), redlock.WithMaxWait(time.Minute))
				assert.ErrorIs(t, err, redlock.ErrContended)
			}()
		}
		time.Sleep(100 * time.Millisecond)
		w, err := l.LockAll(t.Context(), []string{"a", "b"}, ttl, redlock.WithRetry(redlock.Forever, 5*time.Millisecond), redlock.WithMaxWait(10*time.Second))
		assert.NoError(t, err, "both are free all the time")
		if err == nil {
			assert.NoError(t, w.Unlock(t.Context()))
		}
		time.Sleep(2 * time.Minute)
		require.NoError(t, k.Unlock(t.Context()))
	})
}
