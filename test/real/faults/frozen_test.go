package faults_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

// realTimes are how long the calls take in the median.
type realTimes struct{ lock, extend, unlock time.Duration }

func (r realTimes) String() string {
	return fmt.Sprintf("Lock %v, Extend %v, Unlock %v", r.lock, r.extend, r.unlock)
}

// measureCalls locks, extends and unlocks rounds keys with each Locker, in turns, so that
// whatever else the machine does meets them all. Where a busy machine takes longer than
// the node timeout there is nothing to measure.
func measureCalls(t *testing.T, lockers []*redlock.Locker, key func(round int) string, rounds int) []realTimes {
	t.Helper()
	took := make([][3][]time.Duration, len(lockers))
	for round := range rounds {
		for i, l := range lockers {
			var lock *redlock.Lock
			for j, call := range []func() error{
				func() (err error) { lock, err = l.TryLock(t.Context(), key(round), rig.LongTTL); return err },
				func() error { return lock.Extend(t.Context(), rig.LongTTL) },
				func() error { return lock.Unlock(t.Context()) },
			} {
				start := time.Now()
				err := call()
				if !errors.Is(err, redlock.ErrNoQuorum) {
					require.NoError(t, err)
					took[i][j] = append(took[i][j], time.Since(start))
				} else if lock == nil {
					break
				}
			}
		}
	}
	all := make([]realTimes, len(lockers))
	for i := range all {
		for _, times := range took[i] {
			require.Greater(t, len(times), rounds/2, "the machine is too busy to measure anything")
		}
		all[i] = realTimes{rig.Median(took[i][0]), rig.Median(took[i][1]), rig.Median(took[i][2])}
	}
	return all
}

const (
	floor = 2 * time.Millisecond // what the scheduler of a busy machine may add to a call
)

func TestFrozenMinorityCostsTheCallerNothing(t *testing.T) {
	const rounds = 300
	on, healthy := rig.NewReal(t, 5), rig.NewReal(t, 5)
	lockers := []*redlock.Locker{
		on.Locker(t, redlock.WithNodeTimeout(rig.Silence)), healthy.Locker(t, redlock.WithNodeTimeout(rig.Silence)),
	}
	oneKey := func(int) string { return "one" }
	manyKeys := func(round int) string { return fmt.Sprintf("many%d", round) }
	measureCalls(t, lockers, oneKey, rounds/3)

	requireNear := func(what string, key func(int) string) {
		times := measureCalls(t, lockers, key, rounds)
		got, healthy := times[0], times[1]
		t.Logf("%s: %v; with healthy nodes: %v", what, got, healthy)
		require.Less(t, got.lock, 3*healthy.lock+floor)
		require.Less(t, got.extend, 3*healthy.extend+floor)
		require.Less(t, got.unlock, 3*healthy.unlock+floor)
	}
	for frozen := range 2 {
		on.FreezeUntilSilent(t, frozen, lockers[0], rig.Silence)
		requireNear(fmt.Sprintf("%d frozen, one key", frozen+1), oneKey)
		requireNear(fmt.Sprintf("%d frozen, many keys", frozen+1), manyKeys)
	}
	for frozen := range 2 {
		on.Servers[frozen].Thaw()
	}
	for _, l := range lockers {
		rig.Drain(t, l)
	}
	on.RequireEmpty(t, rig.Patience)
}

func TestCallsRightAfterAFreezeAreDecidedByTheOthers(t *testing.T) {
	on := rig.NewReal(t, 5)
	// A call that waits for a frozen node returns after the context of the test.
	l := rig.NewRealLocker(t, on.NewClients(t, rig.Hang), redlock.WithNodeTimeout(rig.LongTTL))
	measureCalls(t, []*redlock.Locker{l}, func(int) string { return "warm-up" }, 100)
	ctx, cancel := context.WithTimeout(t.Context(), rig.Patience)
	defer cancel()
	for frozen := range 2 {
		on.Servers[frozen].Freeze()
		lock, err := l.TryLock(ctx, "k", 2*rig.LongTTL)
		require.NoError(t, err)
		require.NoError(t, lock.Extend(ctx, 2*rig.LongTTL))
		require.NoError(t, lock.Unlock(ctx))
		require.NotZero(t, seam.OpenCalls(l), "the frozen node has answered: this shows nothing")
	}
	for frozen := range 2 {
		on.Servers[frozen].Thaw()
	}
	rig.Drain(t, l)
}

func TestFrozenMinorityCostsARefusedCallerNothing(t *testing.T) {
	rigs := []*rig.Real{rig.NewReal(t, 5), rig.NewReal(t, 5)} // the nodes of the second stay healthy
	var rivals, lockers []*redlock.Locker
	var held []*redlock.Lock
	for _, on := range rigs {
		rival := on.Other(t)
		lock, err := rival.Lock(t.Context(), "k", 2*rig.LongTTL)
		require.NoError(t, err)
		rig.DrainCalls(t, rival)
		rivals, lockers, held = append(rivals, rival), append(lockers, on.Locker(t, redlock.WithNodeTimeout(rig.Silence))), append(held, lock)
	}
	refusals := func() (all [2]time.Duration) {
		var took [2][]time.Duration
		for range 200 {
			for i, l := range lockers {
				start := time.Now()
				_, err := l.TryLock(t.Context(), "k", rig.LongTTL)
				if errors.Is(err, redlock.ErrNoQuorum) {
					continue // a busy machine
				}
				took[i] = append(took[i], time.Since(start))
				require.ErrorIs(t, err, redlock.ErrContended)
			}
		}
		for i := range took {
			require.Greater(t, len(took[i]), 100, "the machine is too busy to measure anything")
		}
		return [2]time.Duration{rig.Median(took[0]), rig.Median(took[1])}
	}
	refusals()
	for frozen := range 2 {
		rigs[0].FreezeUntilSilent(t, frozen, lockers[0], rig.Silence)
		got := refusals()
		t.Logf("%d frozen: %v; with healthy nodes %v", frozen+1, got[0], got[1])
		require.Less(t, got[0], 3*got[1]+floor)
	}
	for frozen := range 2 {
		rigs[0].Servers[frozen].Thaw()
	}
	for i := range rigs {
		require.NoError(t, held[i].Unlock(t.Context()))
		rig.Drain(t, lockers[i])
		rig.Drain(t, rivals[i])
	}
}

func TestFrozenMajorityIsGivenUpAfterTheNodeTimeout(t *testing.T) {
	t.Parallel()
	const (
		nodeTimeout = 400 * time.Millisecond
		pause       = 3 * time.Second // leaves time for the retry
	)
	on := rig.NewReal(t, 5)
	l := rig.NewRealLocker(t, on.NewClients(t, rig.Hang), redlock.WithNodeTimeout(nodeTimeout), redlock.WithRetry(1, pause))
	var held *redlock.Lock
	require.True(t, rig.Poll(rig.Patience, func() (ok bool) {
		var err error
		held, err = l.Lock(t.Context(), "held", rig.LongTTL)
		return err == nil
	}))
	for _, s := range on.Servers[1:4] {
		s.Freeze()
	}

	// It cannot be for an answer of theirs that a call returns.
	requireNoAnswer := func(err error) {
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		require.NotErrorIs(t, err, redlock.ErrContended)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		for _, s := range on.Servers[1:4] {
			require.ErrorContains(t, err, s.Addr())
		}
		require.ErrorContains(t, err, "no answer")
	}
	// The second round finds the nodes silent, and takes as long.
	for range 2 {
		start := time.Now()
		_, err := l.Lock(t.Context(), "k", rig.LongTTL)
		took := time.Since(start)
		t.Logf("Lock took %v: %v", took, err)
		requireNoAnswer(err)
		require.GreaterOrEqual(t, took, 2*nodeTimeout)
	}

	err := held.Extend(t.Context(), rig.LongTTL)
	t.Logf("Extend: %v", err)
	requireNoAnswer(err)
	require.True(t, held.Valid(), "what came of the extension is unknown")

	err = held.Unlock(t.Context())
	t.Logf("Unlock: %v", err)
	requireNoAnswer(err)

	for _, s := range on.Servers[1:4] {
		s.Thaw()
	}
	on.RequireEmpty(t, rig.Patience) // before Shutdown, which gives each release two more tries
	rig.Drain(t, l)
}
