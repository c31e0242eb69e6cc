package holding_test

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
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/faultproxy"
	"github.com/b0401464/redlock/test/rig"
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

// A handover is a holder that is cut off, and the next one who waits for the
// same lock.
type handover struct {
	rig     *rig.Real
	first   *redlock.Locker
	second  *redlock.Locker
	refused bool

	holder   rig.RealHolder
	next     *redlock.Lock
	overlaps bool      // the first one's context was alive when the next one began
	ended    time.Time // of the first one's context
	begun    time.Time // of the next one
}

// run cuts the holder off at a random moment between two extensions and waits
// for the next one to begin.
func (h *handover) run(t *testing.T, ttl time.Duration) {
	t.Helper()
	ended := make(chan time.Time, 1)
	go func() {
		<-h.holder.Ended
		ended <- time.Now()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), rig.Patience)
	defer cancel()
	acquired := make(chan error, 1)
	go func() {
		var err error
		h.next, err = h.second.Lock(ctx, h.holder.Resource(), rig.LongTTL,
			redlock.WithRetry(redlock.Forever, 10*time.Millisecond))
		// Who looks at it sees by the clock that a context has ended, before its timer ran.
		h.overlaps = h.holder.Ctx.Err() == nil
		h.begun = time.Now()
		acquired <- err
	}()
	for range 2 {
		until := h.holder.Until()
		assert.True(t, rig.Poll(rig.Patience, func() bool { return h.holder.Lost() || h.holder.Until().After(until) }))
	}
	<-time.NewTimer(rand.N(ttl/3 + ttl/15)).C //nolint:gosec // nothing secret
	assert.False(t, h.holder.Lost(), "lost before it was cut off")
	h.rig.CutOff(h.refused)
	assert.NoError(t, <-acquired)
	select {
	case h.ended = <-ended:
		assert.ErrorIs(t, h.holder.Cause(), redlock.ErrLockLost)
	case <-ctx.Done():
		assert.NoError(t, ctx.Err(), "the context of the holder does not end")
	}
}

func TestAHolderThatIsCutOffStopsBeforeTheNextOneBegins(t *testing.T) {
	const (
		holders = 20
		ttl     = 5 * time.Second
	)
	on := rig.NewReal(t, 3)
	drift := redlock.WithDriftFactor(driftFactor(t))
	all := make([]handover, holders)
	for i := range all {
		own := on.BehindProxies(t)
		all[i] = handover{
			rig: own, refused: i%2 == 0,
			first: own.Locker(t, drift), second: rig.NewRealLocker(t, on.NewClients(t)),
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
		margins[h.refused] = append(margins[h.refused], h.begun.Sub(h.ended))
		if h.overlaps {
			overlaps++
		}
	}
	for refused, m := range margins {
		mid := rig.Median(m)
		t.Logf("connections refused: %5v; margin at least %v, median %v, at most %v", refused, m[0], mid, m[len(m)-1])
	}
	require.Zero(t, overlaps, "the next one began before the context of the one before it had ended")

	for i := range all {
		h := &all[i]
		h.rig.Reconnect()
		rig.Drain(t, h.first)
		require.True(t, h.next.Valid())
		require.GreaterOrEqual(t, on.Holders(t, h.holder.Resource(), h.next.Value()), 2, "what was held back did harm")
		require.NoError(t, h.next.Unlock(t.Context()))
		rig.Drain(t, h.second)
	}
	require.Zero(t, on.Keys(t))
}

// lockAndDrop locks key, sees it extended and drops the lock. It returns the
// lock's context.
func lockAndDrop(t *testing.T, l *redlock.Locker, key string, ttl time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	lock, err := l.Lock(t.Context(), key, ttl, redlock.WithAutoExtend(redlock.Forever))
	require.NoError(t, err)
	ctx, cancel := lock.Context(context.WithoutCancel(t.Context()))
	until := lock.Until()
	require.True(t, rig.Poll(rig.Patience, func() bool {
		runtime.GC()
		return lock.Until().After(until.Add(ttl))
	}), "not extended")
	return ctx, cancel
}

func TestALockThatTheProgramDroppedRunsOut(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	on := rig.NewReal(t, 3)
	l := on.Locker(t)
	used, stop := lockAndDrop(t, l, "context in use", ttl)
	_, cancel := lockAndDrop(t, l, "dropped", ttl)
	cancel()
	begun := time.Now()
	on.RequireRunsOut(t, "dropped")

	require.True(t, rig.Poll(rig.Patience, func() bool {
		runtime.GC()
		return used.Err() != nil || time.Since(begun) > 3*ttl
	}))
	require.NoError(t, context.Cause(used))
	require.NotEmpty(t, on.Get(t, 0, "context in use"))
	stop()
	on.RequireRunsOut(t, "context in use")
	rig.Drain(t, l)
	require.Zero(t, on.Keys(t))
}

func TestShutdownThatIsGivenUpLeavesNothingAfterOneTTL(t *testing.T) {
	t.Parallel()
	const ttl = 4 * time.Second
	on := rig.NewReal(t, 3)
	l := on.Locker(t)
	var holders []rig.RealHolder
	for i := range 20 {
		holders = append(holders, hold(t, l, fmt.Sprintf("k%d", i), ttl))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*ttl)
	defer cancel()
	require.ErrorIs(t, l.Shutdown(ctx), context.DeadlineExceeded)
	for i := range holders {
		holders[i].RequireHeld(t) // it was extended while Shutdown waited
	}
	require.Equal(t, 3*len(holders), on.Keys(t))
	rig.DrainCalls(t, l) // an extension may have been under way
	untils := make([]time.Time, len(holders))
	for i := range holders {
		untils[i] = holders[i].Until()
	}
	on.RequireEmpty(t, rig.Patience)
	for i := range holders {
		<-holders[i].Ended
		require.ErrorIs(t, holders[i].Cause(), redlock.ErrLockLost)
		require.Equal(t, untils[i], holders[i].Until(), "extended after Shutdown was given up")
	}
	rig.Drain(t, l)
}

// An unlocking unlocks locks while they are extended, and counts.
type unlocking struct {
	rig                       *rig.Real
	released, expired, during atomic.Int64
}

// once unlocks a lock at about the moment of its first extension, and looks
// for what is left of it. l has no other lock.
func (u *unlocking) once(t *testing.T, l *redlock.Locker, key string, ttl time.Duration, long, wiped bool) {
	t.Helper()
	first := ttl
	if long {
		first = rig.LongTTL
	}
	lock, err := l.Lock(t.Context(), key, first, redlock.WithAutoExtend(redlock.Forever))
	if !assert.NoError(t, err) {
		return
	}
	if long { // the validity is short from now on, but what is left behind stays
		err = lock.Extend(t.Context(), ttl)
	}
	if wiped { // so that the extension gives the node the value again
		assert.NoError(t, u.rig.Direct[2].Del(t.Context(), key).Err())
	}
	extended := err == nil
	if extended {
		<-time.NewTimer(ttl/4 + rand.N(ttl/3)).C //nolint:gosec // nothing secret
		if seam.OpenCalls(l) > 0 {
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
	assert.True(t, rig.Poll(rig.Patience, func() bool { return seam.OpenCalls(l) == 0 }))
	for node := range u.rig.Direct {
		assert.Empty(t, u.rig.Get(t, node, key), "%s on node %d", key, node)
	}
}

func TestUnlockAtTheMomentOfAnExtensionLeavesNoKey(t *testing.T) {
	const (
		ttl     = 150 * time.Millisecond
		workers = 8
		rounds  = 40
	)
	on := rig.NewProxied(t, 3)
	on.LoadScripts(t)
	on.SetFault(func(int, []string) faultproxy.Fault {
		// Commands are under way for a good part of the time, and one on
		// another connection can overtake them.
		<-time.NewTimer(rand.N(ttl / 10)).C //nolint:gosec // nothing secret
		return faultproxy.Pass
	})
	u := unlocking{rig: on}
	var wg sync.WaitGroup
	for w := range workers {
		// Unlock waits for an answer, however busy the machine is.
		l := rig.NewRealLocker(t, on.NewClients(t), redlock.WithNodeTimeout(rig.LongTTL))
		wg.Go(func() {
			for i := range rounds {
				u.once(t, l, fmt.Sprintf("worker%d round%d", w, i), ttl, w%2 == 0, i%2 == 0)
			}
			rig.Drain(t, l)
		})
	}
	wg.Wait()
	t.Logf("%d released, %d had run out; %d while a command was under way",
		u.released.Load(), u.expired.Load(), u.during.Load())
	require.Positive(t, u.released.Load())
	require.Positive(t, u.during.Load())
	require.Zero(t, on.Keys(t))
}
