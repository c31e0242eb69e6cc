package redlock_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// realTimes are how long the calls take in the median.
type realTimes struct{ lock, extend, unlock time.Duration }

// measureCalls locks, extends and unlocks key rounds times.
func measureCalls(t *testing.T, l *redlock.Locker, key func(round int) string, rounds int) realTimes {
	t.Helper()
	var locks, extends, unlocks []time.Duration
	for i := range rounds {
		start := time.Now()
		lock, err := l.TryLock(t.Context(), key(i), realTTL)
		locks = append(locks, time.Since(start))
		require.NoError(t, err)

		start = time.Now()
		err = lock.Extend(t.Context(), realTTL)
		extends = append(extends, time.Since(start))
		require.NoError(t, err)

		start = time.Now()
		err = lock.Unlock(t.Context())
		unlocks = append(unlocks, time.Since(start))
		require.NoError(t, err)
	}
	return realTimes{median(locks), median(extends), median(unlocks)}
}

// freezeUntilSilent freezes a node, with whatever is under way, and uses the
// Locker until the node has owed an answer for longer than the node timeout.
func (rig *realRig) freezeUntilSilent(t *testing.T, node int, l *redlock.Locker, nodeTimeout time.Duration) {
	t.Helper()
	rig.servers[node].Freeze()
	lockOnce(t, l, "silence")
	begun := time.Now()
	require.True(t, poll(realPatience, func() bool {
		lockOnce(t, l, "silence")
		return time.Since(begun) > nodeTimeout
	}))
}

const (
	silence = time.Second          // the node timeout of these tests
	floor   = 2 * time.Millisecond // what the scheduler of a busy machine may add to a call
)

func TestFrozenMinorityCostsTheCallerNothing(t *testing.T) {
	const rounds = 300
	rig := newRealRig(t, 5)
	l := rig.locker(t, redlock.WithNodeTimeout(silence))
	oneKey := func(int) string { return "one" }
	manyKeys := func(round int) string { return fmt.Sprintf("many%d", round) }
	measureCalls(t, l, oneKey, rounds/3)
	one, many := measureCalls(t, l, oneKey, rounds), measureCalls(t, l, manyKeys, rounds)
	t.Logf("healthy: one key %+v, many keys %+v", one, many)

	requireNear := func(healthy, got realTimes) {
		require.Less(t, got.lock, 3*healthy.lock+floor)
		require.Less(t, got.extend, 3*healthy.extend+floor)
		require.Less(t, got.unlock, 3*healthy.unlock+floor)
	}
	for frozen := range 2 {
		rig.freezeUntilSilent(t, frozen, l, silence)
		nowOne, nowMany := measureCalls(t, l, oneKey, rounds), measureCalls(t, l, manyKeys, rounds)
		t.Logf("%d frozen: one key %+v, many keys %+v", frozen+1, nowOne, nowMany)
		requireNear(one, nowOne)
		requireNear(many, nowMany)
	}
	for frozen := range 2 {
		rig.servers[frozen].Thaw()
	}
	drain(t, l)
	rig.requireEmpty(t, realTTL/3)
}

func TestCallsRightAfterAFreezeAreDecidedByTheOthers(t *testing.T) {
	rig := newRealRig(t, 5)
	const nodeTimeout = 3 * time.Second // what a call takes that waits for a frozen node
	l := rig.locker(t, redlock.WithNodeTimeout(nodeTimeout))
	measureCalls(t, l, func(int) string { return "warm-up" }, 100)
	for frozen := range 2 {
		rig.servers[frozen].Freeze()
		got := measureCalls(t, l, func(int) string { return "k" }, 1)
		t.Logf("%d frozen: %+v", frozen+1, got)
		require.Less(t, got.lock, nodeTimeout/2)
		require.Less(t, got.extend, nodeTimeout/2)
		require.Less(t, got.unlock, nodeTimeout/2)
	}
	for frozen := range 2 {
		rig.servers[frozen].Thaw()
	}
	drain(t, l)
}

func TestFrozenMinorityCostsARefusedCallerNothing(t *testing.T) {
	rig := newRealRig(t, 5)
	rival := rig.other(t)
	holder, err := rival.Lock(t.Context(), "k", 2*realTTL)
	require.NoError(t, err)
	drainCalls(t, rival)
	l := rig.locker(t, redlock.WithNodeTimeout(silence))
	refusal := func() time.Duration {
		var all []time.Duration
		for range 200 {
			start := time.Now()
			_, err := l.TryLock(t.Context(), "k", realTTL)
			all = append(all, time.Since(start))
			require.ErrorIs(t, err, redlock.ErrContended)
		}
		return median(all)
	}
	refusal()
	healthy := refusal()
	for frozen := range 2 {
		rig.freezeUntilSilent(t, frozen, l, silence)
		got := refusal()
		t.Logf("healthy %v, %d frozen %v", healthy, frozen+1, got)
		require.Less(t, got, 3*healthy+floor)
	}
	for frozen := range 2 {
		rig.servers[frozen].Thaw()
	}
	require.NoError(t, holder.Unlock(t.Context()))
	drain(t, l)
	drain(t, rival)
}

func TestFrozenMajorityIsGivenUpAfterTheNodeTimeout(t *testing.T) {
	const (
		nodeTimeout = 400 * time.Millisecond
		pause       = 10 * time.Millisecond
	)
	rig := newRealRig(t, 5)
	l := rig.locker(t, redlock.WithNodeTimeout(nodeTimeout))
	held, err := l.Lock(t.Context(), "held", realTTL, redlock.WithRetry(1, pause))
	require.NoError(t, err)
	for _, s := range rig.servers[1:4] {
		s.Freeze()
	}

	requireNoAnswer := func(err error) {
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		require.NotErrorIs(t, err, redlock.ErrContended)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		for i, s := range rig.servers {
			if i >= 1 && i <= 3 {
				require.ErrorContains(t, err, s.Addr())
			} else {
				require.NotContains(t, err.Error(), s.Addr())
			}
		}
		require.ErrorContains(t, err, "no answer")
	}
	// The second round finds the nodes silent, and takes as long.
	for range 2 {
		start := time.Now()
		_, err = l.Lock(t.Context(), "k", realTTL, redlock.WithRetry(1, pause))
		took := time.Since(start)
		t.Logf("Lock took %v: %v", took, err)
		require.ErrorIs(t, err, redlock.ErrNotAcquired)
		requireNoAnswer(err)
		require.GreaterOrEqual(t, took, 2*nodeTimeout)
		require.Less(t, took, 2*nodeTimeout+2*pause+2*time.Second, "a client comes back after 5 s")
	}

	start := time.Now()
	err = held.Extend(t.Context(), realTTL)
	took := time.Since(start)
	t.Logf("Extend took %v: %v", took, err)
	requireNoAnswer(err)
	require.Less(t, took, 2*nodeTimeout+2*pause+2*time.Second)
	require.True(t, held.Valid(), "what came of the extension is unknown")

	start = time.Now()
	err = held.Unlock(t.Context())
	took = time.Since(start)
	t.Logf("Unlock took %v: %v", took, err)
	requireNoAnswer(err)
	require.Less(t, took, nodeTimeout+2*time.Second)

	for _, s := range rig.servers[1:4] {
		s.Thaw()
	}
	drain(t, l)
	rig.requireEmpty(t, realPatience)
}
