package holding_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// hold locks key and has it extended for as long as it takes.
func hold(t *testing.T, l *redlock.Locker, key string, ttl time.Duration) rig.RealHolder {
	t.Helper()
	lock, err := l.Lock(t.Context(), key, ttl, redlock.WithAutoExtend(redlock.Forever))
	require.NoError(t, err)
	ctx, cancel := lock.Context(context.Background())
	t.Cleanup(cancel)
	return rig.RealHolder{Lock: lock, Ctx: ctx, Ended: ctx.Done(), Cause: func() error { return context.Cause(ctx) }}
}

// A closest is the smallest part of its TTL that a lock had left.
type closest struct {
	share float64
	key   string
	looks int
}

// watch looks at locks for a while. A look that comes late, and those right
// after it, are not counted: what kept it back kept the extensions back too.
func watch(holders []rig.RealHolder, ttl, d time.Duration) closest {
	c := closest{share: 1}
	tick := time.NewTicker(rig.Tick)
	defer tick.Stop()
	begun := time.Now()
	last, stalled := begun, begun.Add(-ttl)
	for now := begun; now.Sub(begun) < d; now = time.Now() {
		if now.Sub(last) > ttl/10 {
			stalled = now
		}
		last = now
		if now.Sub(stalled) > ttl/5 {
			c.looks++
			for i := range holders {
				h := &holders[i]
				if share := float64(h.Until().Sub(now)) / float64(ttl); share < c.share {
					c.share, c.key = share, h.Resource()
				}
			}
		}
		<-tick.C
	}
	return c
}

func TestAFrozenNodeCostsAutoExtensionNothing(t *testing.T) {
	const (
		ttl = 4 * time.Second
		// A round that waited for a frozen node would leave a sixth of the TTL,
		// one that does not leaves two thirds.
		nodeTimeout = ttl / 2
		enough      = 0.25
		locks       = 80 // more calls than a frozen node takes
	)
	for _, tt := range []struct{ nodes, frozen int }{{3, 1}, {5, 2}} {
		t.Run(fmt.Sprintf("%d of %d", tt.frozen, tt.nodes), func(t *testing.T) {
			t.Parallel()
			on := rig.NewReal(t, tt.nodes)
			var nodeErrors rig.ErrorCounter
			l := on.Locker(t, redlock.WithNodeTimeout(nodeTimeout), nodeErrors.Option())
			var holders []rig.RealHolder
			for i := range locks {
				holders = append(holders, hold(t, l, fmt.Sprintf("k%d", i), ttl))
			}
			healthy := watch(holders, ttl, ttl)

			for _, s := range on.Servers[:tt.frozen] {
				s.Freeze()
			}
			frozen := watch(holders, ttl, soakTime(t))
			for _, s := range on.Servers[:tt.frozen] {
				s.Thaw()
			}
			thawed := time.Now()
			t.Logf("least validity left: healthy %.3f of the TTL, frozen %.3f (%s, %d looks); %d node errors",
				healthy.share, frozen.share, frozen.key, frozen.looks, nodeErrors.N.Load())
			for i := range holders {
				holders[i].RequireHeld(t)
			}
			require.Positive(t, frozen.looks)
			assert.Greater(t, frozen.share, enough, "an extension was late")

			rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
				assert.Equal(c, tt.nodes*locks, on.Keys(c))
			})
			t.Logf("every node has every key again %v after the thaw", time.Since(thawed))
			for i := range holders {
				holders[i].RequireHeld(t)
				require.NoError(t, holders[i].Unlock(t.Context()))
			}
			rig.Drain(t, l)
			require.Zero(t, on.Keys(t))
		})
	}
}

// holdStaggered holds locks that fall due one after the other, so that whatever
// happens next meets them at all moments of the cycle of extension.
func holdStaggered(t *testing.T, l *redlock.Locker, locks int, ttl time.Duration) []rig.RealHolder {
	t.Helper()
	tick := time.NewTicker(ttl / 3 / time.Duration(locks))
	defer tick.Stop()
	var holders []rig.RealHolder
	for i := range locks {
		holders = append(holders, hold(t, l, fmt.Sprintf("k%d", i), ttl))
		<-tick.C
	}
	return holders
}

func TestAMajorityFrozenForLessThanTheValidityCostsNoLock(t *testing.T) {
	t.Parallel()
	const ttl = 6 * time.Second
	on := rig.NewReal(t, 3)
	l := on.Locker(t, redlock.WithNodeTimeout(ttl/10))
	holders := holdStaggered(t, l, 8, ttl)
	on.FreezeBeforeDue(t, &holders[0], ttl, driftOf(ttl), 2)
	frozen := time.Now()
	// They are all valid for a good third of the TTL beyond that.
	<-time.NewTimer(ttl / 4).C
	on.Servers[0].Thaw()
	on.Servers[1].Thaw()
	t.Logf("frozen for %v", time.Since(frozen))
	for i := range holders {
		h := &holders[i]
		require.True(t, rig.Poll(rig.Patience, func() bool { return h.Lost() || h.Until().After(frozen.Add(ttl)) }))
		h.RequireHeld(t)
	}
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		assert.Equal(c, 3*len(holders), on.Keys(c))
	})
	for i := range holders {
		require.NoError(t, holders[i].Unlock(t.Context()))
	}
	rig.Drain(t, l)
	require.Zero(t, on.Keys(t))
}

func TestAMajorityFrozenForLongerThanTheValidityEndsTheContexts(t *testing.T) {
	t.Parallel()
	const ttl = 6 * time.Second
	on := rig.NewReal(t, 3)
	l := rig.NewRealLocker(t, on.NewClients(t, rig.Hang), redlock.WithNodeTimeout(ttl/10))
	holders := holdStaggered(t, l, 8, ttl)
	ends := make([]atomic.Pointer[time.Time], len(holders))
	for i := range holders {
		go func() {
			<-holders[i].Ended
			now := time.Now()
			ends[i].Store(&now)
		}()
	}
	on.FreezeBeforeDue(t, &holders[0], ttl, driftOf(ttl), 2)
	var most time.Duration
	for i := range holders {
		h := &holders[i]
		require.True(t, rig.Poll(rig.Patience, func() bool { return ends[i].Load() != nil }))
		require.ErrorIs(t, h.Cause(), redlock.ErrLockLost)
		after := ends[i].Load().Sub(h.Until())
		require.GreaterOrEqual(t, after, -time.Millisecond, "told too early: nothing was certain")
		most = max(most, after)
	}
	t.Logf("the contexts ended at most %v after the validity", most)

	// The node that is up was sent extensions to the last, and releases.
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		left, err := on.Direct[2].Keys(context.Background(), "*").Result()
		assert.NoError(c, err)
		assert.Empty(c, left)
	})
	// Until the keys have run out on the frozen nodes, too.
	last := slices.MaxFunc(holders, func(a, b rig.RealHolder) int { return a.Until().Compare(b.Until()) })
	require.True(t, rig.Poll(rig.Patience, func() bool { return time.Since(last.Until()) > 2*driftOf(ttl) }))
	on.Servers[0].Thaw()
	on.Servers[1].Thaw()
	for i := range holders {
		require.ErrorIs(t, holders[i].Unlock(t.Context()), redlock.ErrLockLost)
	}
	rig.Drain(t, l)
	require.Zero(t, on.Keys(t))
}

// driftOf returns the drift of a TTL by the default factor.
func driftOf(ttl time.Duration) time.Duration {
	return time.Duration(0.01*float64(ttl)) + 2*time.Millisecond
}

// A realRival tries to get a lock that somebody else has.
type realRival struct {
	tries, noQuorum atomic.Int64
	stop            chan struct{}
	stopped         chan error
}

// compete has l try for key until stop is closed, or it got it.
func compete(t *testing.T, l *redlock.Locker, key string) *realRival {
	t.Helper()
	r := &realRival{stop: make(chan struct{}), stopped: make(chan error, 1)}
	tick := time.NewTicker(rig.Tick)
	t.Cleanup(tick.Stop)
	go func() {
		for {
			_, err := l.TryLock(context.WithoutCancel(t.Context()), key, rig.LongTTL)
			r.tries.Add(1)
			switch {
			case errors.Is(err, redlock.ErrContended):
			case errors.Is(err, redlock.ErrNoQuorum):
				r.noQuorum.Add(1)
			case err == nil:
				r.stopped <- errors.New("the rival has got the lock too")
				return
			default:
				r.stopped <- err
				return
			}
			select {
			case <-tick.C:
			case <-r.stop:
				r.stopped <- nil
				return
			}
		}
	}()
	return r
}

func TestTheRestartOfEveryNodeGoesUnnoticedByTheHolder(t *testing.T) {
	t.Parallel()
	const ttl = 4 * time.Second
	on := rig.NewReal(t, 3)
	l, other := on.Locker(t), on.Other(t)
	h := hold(t, l, "k", ttl)
	rig.DrainCalls(t, l) // the rival could take the third node first: a bare majority can't spare one
	rival := compete(t, other, "k")
	for pass := range 2 { // a node that was armed again counts when the next one goes
		for node, s := range on.Servers {
			s.Kill()
			h.AwaitExtensions(t, 1)
			s.Restart()
			back := time.Now()
			require.True(t, rig.Poll(rig.Patience, func() bool {
				return h.Lost() || on.Get(t, node, "k") == h.Value()
			}))
			h.RequireHeld(t)
			t.Logf("pass %d: node %d has the key again after %v", pass, node, time.Since(back))
			h.AwaitExtensions(t, 1)
			require.Empty(t, rival.stopped)
		}
	}
	require.Equal(t, 3, on.Holders(t, "k", h.Value()))
	close(rival.stop)
	require.NoError(t, <-rival.stopped)
	t.Logf("the rival was refused %d times, %d of them by too few nodes", rival.tries.Load(), rival.noQuorum.Load())
	require.Positive(t, rival.tries.Load())
	h.RequireHeld(t)
	require.NoError(t, h.Unlock(t.Context()))
	require.ErrorIs(t, h.Cause(), redlock.ErrUnlocked)
	rig.Drain(t, l)
	rig.Drain(t, other)
	require.Zero(t, on.Keys(t))
}
