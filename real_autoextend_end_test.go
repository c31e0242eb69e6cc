package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/faultproxy"
)

// envDrift is the drift factor of the holders that are cut off.
const envDrift = "REDLOCK_DRIFT"

// driftFactor leaves a busy machine more time than the default does.
func driftFactor(t *testing.T) float64 {
	t.Helper()
	text := os.Getenv(envDrift)
	if text == "" {
		return 0.05
	}
	f, err := strconv.ParseFloat(text, 64)
	require.NoError(t, err, envDrift)
	return f
}

// behindProxies returns another way to the same servers, which can be cut off.
func (rig *realRig) behindProxies(t *testing.T) *realRig {
	t.Helper()
	own := &realRig{servers: rig.servers, direct: rig.direct}
	for _, s := range rig.servers {
		own.proxies = append(own.proxies, faultproxy.New(t, s.Addr()))
	}
	own.clients = own.newClients(t)
	return own
}

// cutOff keeps the clients from all servers.
func (rig *realRig) cutOff(refused bool) {
	for _, p := range rig.proxies {
		if refused {
			p.Refuse(true)
			p.Cut()
		} else {
			p.BlackHole(true)
		}
	}
}

func (rig *realRig) reconnect() {
	for _, p := range rig.proxies {
		p.Refuse(false)
		p.BlackHole(false)
	}
}

// A handover is a holder that is cut off, and the next one who waits for the
// same lock.
type handover struct {
	rig     *realRig
	first   *redlock.Locker
	second  *redlock.Locker
	refused bool

	holder realHolder
	next   *redlock.Lock
	ended  time.Time // of the first one's context
	begun  time.Time // of the next one
}

// run cuts the holder off at a random moment between two extensions and waits
// for the next one to begin.
func (h *handover) run(t *testing.T, ttl time.Duration) {
	t.Helper()
	ended := make(chan time.Time, 1)
	go func() {
		<-h.holder.ended
		ended <- time.Now()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), realPatience)
	defer cancel()
	acquired := make(chan error, 1)
	go func() {
		var err error
		h.next, err = h.second.Lock(ctx, h.holder.Resource(), realTTL,
			redlock.WithRetry(redlock.Forever, 10*time.Millisecond))
		h.begun = time.Now()
		acquired <- err
	}()
	for range 2 {
		until := h.holder.Until()
		assert.True(t, poll(realPatience, func() bool { return h.holder.lost() || h.holder.Until().After(until) }))
	}
	<-time.NewTimer(rand.N(ttl/3 + ttl/15)).C //nolint:gosec // nothing secret
	assert.False(t, h.holder.lost(), "lost before it was cut off")
	h.rig.cutOff(h.refused)
	assert.NoError(t, <-acquired)
	select {
	case h.ended = <-ended:
		assert.ErrorIs(t, h.holder.cause(), redlock.ErrLockLost)
	case <-ctx.Done():
		assert.NoError(t, ctx.Err(), "the context of the holder does not end")
	}
}

func TestAHolderThatIsCutOffStopsBeforeTheNextOneBegins(t *testing.T) {
	const (
		holders = 20
		ttl     = 3 * time.Second
	)
	rig := newRealRig(t, 3)
	drift := redlock.WithDriftFactor(driftFactor(t))
	all := make([]handover, holders)
	for i := range all {
		own := rig.behindProxies(t)
		all[i] = handover{
			rig: own, refused: i%2 == 0,
			first: own.locker(t, drift), second: newRealLocker(t, rig.newClients(t)),
		}
		all[i].holder = hold(t, all[i].first, fmt.Sprintf("k%d", i), ttl)
	}
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i].run(t, ttl) })
	}
	wg.Wait()
	require.False(t, t.Failed())

	margins := make(map[bool][]time.Duration)
	overlaps := 0
	for i := range all {
		h := &all[i]
		margin := h.begun.Sub(h.ended)
		margins[h.refused] = append(margins[h.refused], margin)
		if margin <= 0 {
			overlaps++
		}
	}
	for refused, m := range margins {
		mid := median(m)
		t.Logf("connections refused: %5v; margin at least %v, median %v, at most %v", refused, m[0], mid, m[len(m)-1])
	}
	require.Zero(t, overlaps, "the next one began before the context of the one before it had ended")

	for i := range all {
		h := &all[i]
		h.rig.reconnect()
		drain(t, h.first)
		require.True(t, h.next.Valid())
		require.GreaterOrEqual(t, rig.holders(t, h.holder.Resource(), h.next.Value()), 2, "what was held back did harm")
		require.NoError(t, h.next.Unlock(t.Context()))
		drain(t, h.second)
	}
	require.Zero(t, rig.keys(t))
}

// lockAndDrop locks key, sees it extended and drops the lock. It returns the
// lock's context.
func lockAndDrop(t *testing.T, l *redlock.Locker, key string, ttl time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	lock, err := l.Lock(t.Context(), key, ttl, redlock.WithAutoExtend(redlock.Forever))
	require.NoError(t, err)
	ctx, cancel := lock.Context(context.WithoutCancel(t.Context()))
	until := lock.Until()
	require.True(t, poll(realPatience, func() bool {
		runtime.GC()
		return lock.Until().After(until.Add(ttl))
	}), "not extended")
	return ctx, cancel
}

// requireRunsOut requires that a key goes by itself.
func (rig *realRig) requireRunsOut(t *testing.T, key string) {
	t.Helper()
	begun := time.Now()
	require.True(t, poll(realPatience, func() bool {
		runtime.GC()
		return rig.get(t, 0, key)+rig.get(t, 1, key)+rig.get(t, 2, key) == ""
	}), "%q is extended for ever", key)
	t.Logf("%q was gone after %v", key, time.Since(begun))
}

func TestALockThatTheProgramDroppedRunsOut(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	rig := newRealRig(t, 3)
	l := rig.locker(t)
	used, stop := lockAndDrop(t, l, "context in use", ttl)
	_, cancel := lockAndDrop(t, l, "dropped", ttl)
	cancel()
	begun := time.Now()
	rig.requireRunsOut(t, "dropped")

	require.True(t, poll(realPatience, func() bool {
		runtime.GC()
		return used.Err() != nil || time.Since(begun) > 3*ttl
	}))
	require.NoError(t, context.Cause(used))
	require.NotEmpty(t, rig.get(t, 0, "context in use"))
	stop()
	rig.requireRunsOut(t, "context in use")
	drain(t, l)
	require.Zero(t, rig.keys(t))
}

func TestShutdownThatIsGivenUpLeavesNothingAfterOneTTL(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	rig := newRealRig(t, 3)
	l := rig.locker(t)
	var holders []realHolder
	for i := range 20 {
		holders = append(holders, hold(t, l, fmt.Sprintf("k%d", i), ttl))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*ttl)
	defer cancel()
	require.ErrorIs(t, l.Shutdown(ctx), context.DeadlineExceeded)
	for i := range holders {
		holders[i].requireHeld(t) // it was extended while Shutdown waited
	}
	require.Equal(t, 3*len(holders), rig.keys(t))
	drainCalls(t, l) // an extension may have been under way
	untils := make([]time.Time, len(holders))
	for i := range holders {
		untils[i] = holders[i].Until()
	}
	rig.requireEmpty(t, ttl+ttl/2)
	for i := range holders {
		<-holders[i].ended
		require.ErrorIs(t, holders[i].cause(), redlock.ErrLockLost)
		require.Equal(t, untils[i], holders[i].Until(), "extended after Shutdown was given up")
	}
	drain(t, l)
}

// An unlocking unlocks locks while they are extended, and counts.
type unlocking struct {
	rig                       *realRig
	released, expired, during atomic.Int64
}

// once unlocks a lock at about the moment of its first extension, and looks
// for what is left of it. l has no other lock.
func (u *unlocking) once(t *testing.T, l *redlock.Locker, key string, ttl time.Duration, long, wiped bool) {
	t.Helper()
	first := ttl
	if long {
		first = realTTL
	}
	lock, err := l.Lock(t.Context(), key, first, redlock.WithAutoExtend(redlock.Forever))
	if !assert.NoError(t, err) {
		return
	}
	if long { // the validity is short from now on, but what is left behind stays
		err = lock.Extend(t.Context(), ttl)
	}
	if wiped { // so that the extension gives the node the value again
		assert.NoError(t, u.rig.direct[2].Del(t.Context(), key).Err())
	}
	extended := err == nil
	if extended {
		<-time.NewTimer(ttl/4 + rand.N(ttl/3)).C //nolint:gosec // nothing secret
		if redlock.OpenCalls(l) > 0 {
			u.during.Add(1)
		}
		err = lock.Unlock(t.Context())
	}
	switch {
	case err == nil:
		u.released.Add(1)
	case !errors.Is(err, redlock.ErrLockLost):
		assert.NoError(t, err)
	case extended:
		assert.Greater(t, time.Now(), lock.Until(), "lost before its time")
		fallthrough
	default: // a busy machine
		u.expired.Add(1)
	}
	assert.True(t, poll(realPatience, func() bool { return redlock.OpenCalls(l) == 0 }))
	for node := range u.rig.direct {
		assert.Empty(t, u.rig.get(t, node, key), "%s on node %d", key, node)
	}
}

func TestUnlockAtTheMomentOfAnExtensionLeavesNoKey(t *testing.T) {
	const (
		ttl     = 150 * time.Millisecond
		workers = 8
		rounds  = 40
	)
	rig := newRealProxiedRig(t, 3)
	rig.loadScripts(t)
	rig.setFault(func(int, []string) faultproxy.Fault {
		// Commands are under way for a good part of the time, and one on
		// another connection can overtake them.
		<-time.NewTimer(rand.N(ttl / 10)).C //nolint:gosec // nothing secret
		return faultproxy.Pass
	})
	u := unlocking{rig: rig}
	var wg sync.WaitGroup
	for w := range workers {
		// Unlock waits for an answer, however busy the machine is.
		l := newRealLocker(t, rig.newClients(t), redlock.WithNodeTimeout(realTTL))
		wg.Go(func() {
			for i := range rounds {
				u.once(t, l, fmt.Sprintf("worker%d round%d", w, i), ttl, w%2 == 0, i%2 == 0)
			}
			drain(t, l)
		})
	}
	wg.Wait()
	t.Logf("%d released, %d had run out; %d while a command was under way",
		u.released.Load(), u.expired.Load(), u.during.Load())
	require.Positive(t, u.released.Load())
	require.Positive(t, u.during.Load())
	require.Zero(t, rig.keys(t))
}
