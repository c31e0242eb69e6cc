package locking_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

func TestLocksOnAnyNumberOfResourcesOnRealServers(t *testing.T) {
	on := rig.NewReal(t, 3)
	l, other := on.Locker(t), on.Other(t)
	for _, opts := range [][]redlock.LockOption{nil, {redlock.WithFencing(time.Hour)}} {
		for _, n := range []int{1, 2, 16, 1000} {
			names := rig.Tagged(n)
			lock, err := l.LockAll(t.Context(), names, rig.LongTTL, opts...) // loads the scripts
			require.NoError(t, err)
			require.NoError(t, lock.Unlock(t.Context()))
			start := time.Now()
			lock, err = l.LockAll(t.Context(), names, rig.LongTTL, opts...)
			require.NoError(t, err)
			locked := time.Since(start)
			on.RequireAll(t, lock)
			rig.DrainCalls(t, l) // a node that has not answered is not extended
			assert.Greater(t, on.PTTL(t, 0, names[n-1]), rig.LongTTL-rig.Patience)
			_, err = other.LockAll(t.Context(), []string{"free", names[n-1]}, rig.LongTTL, rig.OneTry)
			require.ErrorIs(t, err, redlock.ErrContended)
			assert.Zero(t, on.Holders(t, "free", lock.Value()))
			start = time.Now()
			require.NoError(t, lock.Extend(t.Context(), 2*rig.LongTTL))
			extended := time.Since(start)
			rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
				for i := range on.Direct {
					assert.Greater(c, on.PTTL(c, i, names[n/2]), rig.LongTTL)
				}
			})
			start = time.Now()
			require.NoError(t, lock.Unlock(t.Context()))
			t.Logf("%4d resources, token %t: lock %v, extend %v, unlock %v", n, lock.Token() != 0, locked, extended, time.Since(start))
			rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
				for i := range on.Direct {
					left, err := on.Direct[i].Exists(context.Background(), names...).Result()
					require.NoError(c, err)
					assert.Zero(c, left, "node %d", i)
				}
			})
		}
	}
	rig.Drain(t, l)
	rig.Drain(t, other)
}

func TestScriptsForSeveralThatAServerHasForgottenAreSentAgain(t *testing.T) {
	on := rig.NewReal(t, 3)
	l := on.Locker(t)
	flush := func() {
		for _, c := range on.Direct {
			require.NoError(t, c.ScriptFlush(t.Context()).Err())
		}
	}
	lock, err := l.LockAll(t.Context(), rig.Tagged(16), rig.LongTTL)
	require.NoError(t, err)
	on.RequireAll(t, lock)
	flush()
	require.NoError(t, lock.Extend(t.Context(), rig.LongTTL))
	rig.DrainCalls(t, l)
	flush()
	require.NoError(t, lock.Unlock(t.Context()))
	on.RequireEmpty(t, rig.Patience)
	rig.Drain(t, l)
}

// The arrays of redlock for Node: version 4 refuses if one of the keys exists, and
// sets them all to one value with PX; version 5 counts the keys that it set,
// extended or removed, and a node only if these were all.
func TestArraysOfOtherLibrariesAndOursExcludeEachOther(t *testing.T) {
	on := rig.NewReal(t, 3)
	l := on.Locker(t)
	array := redis.NewScript(`
for _, key in ipairs(KEYS) do if redis.call("exists", key) == 1 then return 0 end end
for _, key in ipairs(KEYS) do redis.call("set", key, ARGV[1], "PX", ARGV[2]) end
return #KEYS`)
	extend := redis.NewScript(`
for _, key in ipairs(KEYS) do if redis.call("get", key) ~= ARGV[1] then return 0 end end
for _, key in ipairs(KEYS) do redis.call("pexpire", key, ARGV[2]) end
return #KEYS`)
	release := redis.NewScript(`
local n = 0
for _, key in ipairs(KEYS) do if redis.call("get", key) == ARGV[1] then n = n + redis.call("del", key) end end
return n`)
	run := func(s *redis.Script, value string, keys ...string) (n int) {
		for _, c := range on.Direct {
			set, err := s.Run(t.Context(), c, keys, value, rig.LongTTL.Milliseconds()).Int()
			require.NoError(t, err)
			n += set
		}
		return n
	}

	lock, err := l.LockAll(t.Context(), []string{"a", "b"}, rig.LongTTL)
	require.NoError(t, err)
	on.RequireAll(t, lock)
	assert.Zero(t, run(array, "theirs", "b", "c"))
	assert.Zero(t, run(array, "theirs", "a"))
	assert.Equal(t, 6, run(extend, lock.Value(), "b", "a"), "is not of their form")
	assert.Equal(t, 6, run(array, "theirs", "c", "d"))
	for _, set := range [][]string{{"c", "e"}, {"d"}, {"e", "d"}, {"c", "d"}} {
		_, err = l.LockAll(t.Context(), set, rig.LongTTL, rig.OneTry)
		require.ErrorIs(t, err, redlock.ErrContended, "%v", set)
	}
	assert.Equal(t, 6, run(extend, "theirs", "d", "c"), "something of theirs is gone")
	assert.Equal(t, 6, run(release, "theirs", "c", "d"))
	rig.LockOnce(t, l, "c")
	assert.Equal(t, 6, run(release, lock.Value(), "a", "b"))
	require.ErrorIs(t, lock.Unlock(t.Context()), redlock.ErrLockLost)
	on.RequireEmpty(t, rig.Patience)
	rig.Drain(t, l)
}

// A call that waits for the frozen node returns after the context has ended.
func TestAFrozenRealMinorityCostsALockOnSeveralNothing(t *testing.T) {
	on := rig.NewReal(t, 3)
	l := rig.NewRealLocker(t, on.NewClients(t, rig.Hang), redlock.WithNodeTimeout(rig.LongTTL))
	const rounds, ttl = 100, 2 * rig.LongTTL
	names := rig.Tagged(16)
	lock, err := l.LockAll(t.Context(), names, ttl)
	require.NoError(t, err)
	require.NoError(t, lock.Unlock(t.Context()))
	rig.DrainCalls(t, l)
	on.Servers[1].Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), rig.Patience)
	defer cancel()
	start := time.Now()
	for i := range rounds {
		set := names[i%8 : i%8+1+i%7]
		lock, err := l.LockAll(ctx, set, ttl)
		require.NoError(t, err)
		if i%10 == 0 {
			require.NoError(t, lock.Extend(ctx, ttl))
		}
		require.NoError(t, lock.Unlock(ctx))
	}
	t.Log(time.Since(start)/rounds, "a lock")
	require.NotZero(t, seam.OpenCalls(l), "the frozen node has answered: this shows nothing")
	on.Servers[1].Thaw()
	on.RequireEmpty(t, rig.Patience)
	rig.Drain(t, l)
}

func TestALockOnSeveralLivesThroughTheRestartOfEveryRealNode(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	l := on.Locker(t, redlock.WithAutoExtend(redlock.Forever))
	lock, err := l.LockAll(t.Context(), rig.Tagged(16), 15*time.Second)
	require.NoError(t, err)
	on.RequireAll(t, lock)
	rig.DrainCalls(t, l) // a node that granted late counts only after another extension
	for _, s := range on.Servers {
		s.Restart()
		on.RequireAll(t, lock) // automatic extension has given it all of them
		first := lock.Until()
		require.True(t, rig.Poll(rig.Patience, func() bool { return lock.Until().After(first) }))
	}
	require.True(t, lock.Valid())
	require.NoError(t, lock.Unlock(t.Context()))
	on.RequireEmpty(t, rig.Patience)
	rig.Drain(t, l)
}

func TestARealNodeThatHasLostOneKeyGetsItBack(t *testing.T) {
	on := rig.NewReal(t, 3)
	l := on.Locker(t)
	lock, err := l.LockAll(t.Context(), rig.Tagged(1000), rig.LongTTL, redlock.WithFencing(time.Hour))
	require.NoError(t, err)
	on.RequireAll(t, lock)
	rig.DrainCalls(t, l)
	require.EqualValues(t, 1, on.Direct[2].Del(t.Context(), rig.Tagged(1000)[500]).Val())
	require.NoError(t, lock.Extend(t.Context(), rig.LongTTL))
	on.RequireAll(t, lock)
	rig.DrainCalls(t, l)
	for _, c := range on.Direct[:2] {
		require.EqualValues(t, 1, c.Del(t.Context(), rig.Tagged(1000)[0]).Val())
	}
	require.ErrorIs(t, lock.Extend(t.Context(), rig.LongTTL), redlock.ErrLockLost)
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		for i := range on.Direct {
			left, err := on.Direct[i].Exists(context.Background(), rig.Tagged(1000)...).Result()
			require.NoError(c, err)
			assert.Zero(c, left, "node %d", i)
		}
	})
	rig.Drain(t, l)
}

// Callers of several processes want random sets; each name has a counter that only
// its holder moves.
func TestRandomSetsOnRealServersNeverOverlap(t *testing.T) {
	on := rig.NewReal(t, 3)
	const processes, callers, calls, names = 3, 8, 20, 6
	var inside [names]struct {
		sync.Mutex
		by int
	}
	var wg sync.WaitGroup
	lockers := []*redlock.Locker{on.Locker(t)}
	for len(lockers) < processes {
		lockers = append(lockers, on.Other(t))
	}
	for p, l := range lockers {
		for caller := range callers {
			random := rand.New(rand.NewPCG(uint64(p), uint64(caller))) //nolint:gosec // repeatable on purpose
			wg.Go(func() {
				for range calls {
					chosen := random.Perm(names)[:1+random.IntN(3)]
					var set []string
					for _, i := range chosen {
						set = append(set, fmt.Sprint("{set}", i))
					}
					err := l.WithAll(t.Context(), set, rig.LongTTL, func(context.Context, *redlock.Lock) error {
						for _, i := range chosen {
							if !assert.True(t, inside[i].TryLock(), "%d has two holders", i) {
								return nil
							}
							defer inside[i].Unlock()
							inside[i].by++
						}
						time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond)
						return nil
					}, func(err error) { assert.NoError(t, err) }, redlock.WithRetry(redlock.Forever, 20*time.Millisecond))
					assert.NoError(t, err)
				}
			})
		}
	}
	wg.Wait()
	sum := 0
	for i := range inside {
		sum += inside[i].by
	}
	assert.GreaterOrEqual(t, sum, processes*callers*calls)
	on.RequireEmpty(t, rig.Patience)
	for _, l := range lockers {
		rig.Drain(t, l)
	}
}

func TestTheReleaseOfSeveralCallsTheWaitersOnRealServers(t *testing.T) {
	on := rig.NewReal(t, 3)
	l, others := on.Locker(t), on.Others(t, 16)
	lock, err := l.LockAll(t.Context(), rig.Tagged(16), rig.LongTTL)
	require.NoError(t, err)
	var served []<-chan error
	for i, other := range others {
		resource := rig.Tagged(16)[i]
		served = append(served, rig.StandInLine(t, func() bool { return on.Waiting(t, resource) == 1 }, rig.LockSeldom(other, resource)))
	}
	start := time.Now()
	require.NoError(t, lock.Unlock(t.Context()))
	for _, ended := range served {
		require.NoError(t, rig.Within(t, ended))
	}
	t.Log("16 waiters of 16 processes in", time.Since(start))
	on.RequireEmpty(t, rig.Patience)
	for _, other := range append(others, l) {
		rig.Drain(t, other)
	}
}
