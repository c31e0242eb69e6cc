package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// A realHolder holds a lock that is extended automatically.
type realHolder struct {
	*redlock.Lock

	ended <-chan struct{} // closed when the lock's context ends
	cause func() error    // why it ended
}

// hold locks key and has it extended for as long as it takes.
func hold(t *testing.T, l *redlock.Locker, key string, ttl time.Duration) realHolder {
	t.Helper()
	lock, err := l.Lock(t.Context(), key, ttl, redlock.WithAutoExtend(redlock.Forever))
	require.NoError(t, err)
	ctx, cancel := lock.Context(context.Background())
	t.Cleanup(cancel)
	return realHolder{lock, ctx.Done(), func() error { return context.Cause(ctx) }}
}

// lost reports whether the lock's context has ended.
func (h *realHolder) lost() bool {
	select {
	case <-h.ended:
		return true
	default:
		return false
	}
}

// requireHeld requires that the lock has not been lost.
func (h *realHolder) requireHeld(t *testing.T) {
	t.Helper()
	if h.lost() {
		require.NoError(t, h.cause())
	}
	require.True(t, h.Valid())
}

// awaitExtensions waits until the lock has been extended n times.
func (h *realHolder) awaitExtensions(t *testing.T, n int) {
	t.Helper()
	for range n {
		until := h.Until()
		require.True(t, poll(realPatience, func() bool { return h.lost() || h.Until().After(until) }), "not extended")
		h.requireHeld(t)
	}
}

// A closest is the smallest part of its TTL that a lock had left.
type closest struct {
	share float64
	key   string
	looks int
}

// watch looks at locks for a while. A look that comes late, and those right
// after it, are not counted: what kept it back kept the extensions back too.
func watch(holders []realHolder, ttl, d time.Duration) closest {
	c := closest{share: 1}
	tick := time.NewTicker(realTick)
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
		ttl = 2 * time.Second
		// A round that waited for a frozen node would leave a sixth of the TTL,
		// one that does not leaves two thirds.
		nodeTimeout = ttl / 2
		enough      = 0.25
		locks       = 80 // more calls than a frozen node takes
	)
	for _, tt := range []struct{ nodes, frozen int }{{3, 1}, {5, 2}} {
		t.Run(fmt.Sprintf("%d of %d", tt.frozen, tt.nodes), func(t *testing.T) {
			t.Parallel()
			rig := newRealRig(t, tt.nodes)
			var nodeErrors realCounter
			l := rig.locker(t, redlock.WithNodeTimeout(nodeTimeout), nodeErrors.option())
			var holders []realHolder
			for i := range locks {
				holders = append(holders, hold(t, l, fmt.Sprintf("k%d", i), ttl))
			}
			healthy := watch(holders, ttl, ttl)

			for _, s := range rig.servers[:tt.frozen] {
				s.Freeze()
			}
			frozen := watch(holders, ttl, soakTime(t))
			for _, s := range rig.servers[:tt.frozen] {
				s.Thaw()
			}
			thawed := time.Now()
			t.Logf("least validity left: healthy %.3f of the TTL, frozen %.3f (%s, %d looks); %d node errors",
				healthy.share, frozen.share, frozen.key, frozen.looks, nodeErrors.n.Load())
			for i := range holders {
				holders[i].requireHeld(t)
			}
			require.Positive(t, frozen.looks)
			assert.Greater(t, frozen.share, enough, "an extension was late")

			realEventually(t, realPatience, func(c *assert.CollectT) {
				assert.Equal(c, tt.nodes*locks, rig.keys(c))
			})
			t.Logf("every node has every key again %v after the thaw", time.Since(thawed))
			for i := range holders {
				holders[i].requireHeld(t)
				require.NoError(t, holders[i].Unlock(t.Context()))
			}
			drain(t, l)
			require.Zero(t, rig.keys(t))
		})
	}
}

// holdStaggered holds locks that fall due one after the other, so that whatever
// happens next meets them at all moments of the cycle of extension.
func holdStaggered(t *testing.T, l *redlock.Locker, locks int, ttl time.Duration) []realHolder {
	t.Helper()
	tick := time.NewTicker(ttl / 3 / time.Duration(locks))
	defer tick.Stop()
	var holders []realHolder
	for i := range locks {
		holders = append(holders, hold(t, l, fmt.Sprintf("k%d", i), ttl))
		<-tick.C
	}
	return holders
}

// freezeBeforeDue freezes nodes just before a lock is to be extended.
func (rig *realRig) freezeBeforeDue(t *testing.T, h *realHolder, ttl, drift time.Duration, nodes int) {
	t.Helper()
	h.awaitExtensions(t, 1)
	due := h.Until().Add(drift - ttl + ttl/3)
	<-time.NewTimer(time.Until(due) - ttl/60).C
	for _, s := range rig.servers[:nodes] {
		s.Freeze()
	}
}

func TestAMajorityFrozenForLessThanTheValidityCostsNoLock(t *testing.T) {
	t.Parallel()
	const ttl = 6 * time.Second
	rig := newRealRig(t, 3)
	l := rig.locker(t)
	holders := holdStaggered(t, l, 8, ttl)
	rig.freezeBeforeDue(t, &holders[0], ttl, driftOf(ttl), 2)
	frozen := time.Now()
	// They are all valid for a good third of the TTL beyond that.
	<-time.NewTimer(ttl / 4).C
	rig.servers[0].Thaw()
	rig.servers[1].Thaw()
	t.Logf("frozen for %v", time.Since(frozen))
	for i := range holders {
		h := &holders[i]
		require.True(t, poll(realPatience, func() bool { return h.lost() || h.Until().After(frozen.Add(ttl)) }))
		h.requireHeld(t)
	}
	realEventually(t, realPatience, func(c *assert.CollectT) {
		assert.Equal(c, 3*len(holders), rig.keys(c))
	})
	for i := range holders {
		require.NoError(t, holders[i].Unlock(t.Context()))
	}
	drain(t, l)
	require.Zero(t, rig.keys(t))
}

func TestAMajorityFrozenForLongerEndsTheContextsInTime(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	rig := newRealRig(t, 3)
	l := rig.locker(t)
	holders := holdStaggered(t, l, 8, ttl)
	ends := make([]atomic.Pointer[time.Time], len(holders))
	for i := range holders {
		go func() {
			<-holders[i].ended
			now := time.Now()
			ends[i].Store(&now)
		}()
	}
	rig.freezeBeforeDue(t, &holders[0], ttl, driftOf(ttl), 2)
	var most time.Duration
	for i := range holders {
		h := &holders[i]
		require.True(t, poll(realPatience, func() bool { return ends[i].Load() != nil }))
		require.ErrorIs(t, h.cause(), redlock.ErrLockLost)
		after := ends[i].Load().Sub(h.Until())
		require.GreaterOrEqual(t, after, -time.Millisecond, "told too early: nothing was certain")
		most = max(most, after)
	}
	t.Logf("the contexts ended at most %v after the validity", most)
	assert.Less(t, most, ttl/6)

	// The node that is up was sent extensions to the last, and releases.
	realEventually(t, ttl/2, func(c *assert.CollectT) {
		left, err := rig.direct[2].Keys(context.Background(), "*").Result()
		assert.NoError(c, err)
		assert.Empty(c, left)
	})
	rig.servers[0].Thaw()
	rig.servers[1].Thaw()
	rig.requireEmpty(t, ttl)
	require.ErrorIs(t, holders[0].Unlock(t.Context()), redlock.ErrLockLost)
	for i := range holders {
		// The keys of the last ones may have been there still: the nodes decide.
		require.NotErrorIs(t, holders[i].Unlock(t.Context()), redlock.ErrNoQuorum)
	}
	drain(t, l)
	require.Zero(t, rig.keys(t))
}

// driftOf returns the drift of a TTL by the default factor.
func driftOf(ttl time.Duration) time.Duration {
	return time.Duration(redlock.DefaultDriftFactor*float64(ttl)) + 2*time.Millisecond
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
	tick := time.NewTicker(realTick)
	t.Cleanup(tick.Stop)
	go func() {
		for {
			_, err := l.TryLock(context.WithoutCancel(t.Context()), key, realTTL)
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
	const ttl = 2 * time.Second
	rig := newRealRig(t, 3)
	l, other := rig.locker(t), rig.other(t)
	h := hold(t, l, "k", ttl)
	drainCalls(t, l) // the rival could take the third node first: a bare majority can't spare one
	rival := compete(t, other, "k")
	for pass := range 2 { // a node that was armed again counts when the next one goes
		for node, s := range rig.servers {
			s.Kill()
			h.awaitExtensions(t, 1)
			s.Restart()
			back := time.Now()
			require.True(t, poll(realPatience, func() bool {
				return h.lost() || rig.get(t, node, "k") == h.Value()
			}))
			h.requireHeld(t)
			t.Logf("pass %d: node %d has the key again after %v", pass, node, time.Since(back))
			h.awaitExtensions(t, 1)
			require.Empty(t, rival.stopped)
		}
	}
	require.Equal(t, 3, rig.holders(t, "k", h.Value()))
	close(rival.stop)
	require.NoError(t, <-rival.stopped)
	t.Logf("the rival was refused %d times, %d of them by too few nodes", rival.tries.Load(), rival.noQuorum.Load())
	require.Positive(t, rival.tries.Load())
	h.requireHeld(t)
	require.NoError(t, h.Unlock(t.Context()))
	require.ErrorIs(t, h.cause(), redlock.ErrUnlocked)
	drain(t, l)
	drain(t, other)
	require.Zero(t, rig.keys(t))
}
