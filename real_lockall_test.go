package redlock_test

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
)

// realMany returns the names of n resources of one hash tag.
func realMany(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("{many}:%04d", i)
	}
	return all
}

// requireAll requires that soon each server has all resources of a lock.
func (rig *realRig) requireAll(t *testing.T, lock *redlock.Lock) {
	t.Helper()
	realEventually(t, realPatience, func(c *assert.CollectT) {
		for i := range rig.direct {
			values, err := rig.direct[i].MGet(context.Background(), lock.Resources()...).Result()
			require.NoError(c, err)
			for j, value := range values {
				require.Equal(c, lock.Value(), value, "node %d, %q", i, lock.Resources()[j])
			}
		}
	})
}

func TestLocksOnAnyNumberOfResourcesOnRealServers(t *testing.T) {
	rig := newRealRig(t, 3)
	l, other := rig.locker(t), rig.other(t)
	for _, opts := range [][]redlock.LockOption{nil, {redlock.WithFencing(time.Hour)}} {
		for _, n := range []int{1, 2, 16, 1000} {
			names := realMany(n)
			lock, err := l.LockAll(t.Context(), names, realTTL, opts...) // loads the scripts
			require.NoError(t, err)
			require.NoError(t, lock.Unlock(t.Context()))
			start := time.Now()
			lock, err = l.LockAll(t.Context(), names, realTTL, opts...)
			require.NoError(t, err)
			locked := time.Since(start)
			rig.requireAll(t, lock)
			drainCalls(t, l) // a node that has not answered is not extended
			assert.Greater(t, rig.pttl(t, 0, names[n-1]), realTTL-realPatience/10)
			_, err = other.LockAll(t.Context(), []string{"free", names[n-1]}, realTTL, oneTry)
			require.ErrorIs(t, err, redlock.ErrContended)
			assert.Zero(t, rig.holders(t, "free", lock.Value()))
			start = time.Now()
			require.NoError(t, lock.Extend(t.Context(), 2*realTTL))
			extended := time.Since(start)
			realEventually(t, realPatience, func(c *assert.CollectT) {
				for i := range rig.direct {
					assert.Greater(c, rig.pttl(c, i, names[n/2]), realTTL)
				}
			})
			start = time.Now()
			require.NoError(t, lock.Unlock(t.Context()))
			t.Logf("%4d resources, token %t: lock %v, extend %v, unlock %v", n, lock.Token() != 0, locked, extended, time.Since(start))
			realEventually(t, realPatience, func(c *assert.CollectT) {
				for i := range rig.direct {
					left, err := rig.direct[i].Exists(context.Background(), names...).Result()
					require.NoError(c, err)
					assert.Zero(c, left, "node %d", i)
				}
			})
		}
	}
	drain(t, l)
	drain(t, other)
}

func TestScriptsForSeveralThatAServerHasForgottenAreSentAgain(t *testing.T) {
	rig := newRealRig(t, 3)
	l := rig.locker(t)
	flush := func() {
		for _, c := range rig.direct {
			require.NoError(t, c.ScriptFlush(t.Context()).Err())
		}
	}
	lock, err := l.LockAll(t.Context(), realMany(16), realTTL)
	require.NoError(t, err)
	rig.requireAll(t, lock)
	flush()
	require.NoError(t, lock.Extend(t.Context(), realTTL))
	drainCalls(t, l)
	flush()
	require.NoError(t, lock.Unlock(t.Context()))
	rig.requireEmpty(t, realPatience)
	drain(t, l)
}

// The arrays of redlock for Node: version 4 refuses if one of the keys exists, and
// sets them all to one value with PX; version 5 counts the keys that it set,
// extended or removed, and a node only if these were all.
func TestArraysOfOtherLibrariesAndOursExcludeEachOther(t *testing.T) {
	rig := newRealRig(t, 3)
	l := rig.locker(t)
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
		for _, c := range rig.direct {
			set, err := s.Run(t.Context(), c, keys, value, realTTL.Milliseconds()).Int()
			require.NoError(t, err)
			n += set
		}
		return n
	}

	lock, err := l.LockAll(t.Context(), []string{"a", "b"}, realTTL)
	require.NoError(t, err)
	rig.requireAll(t, lock)
	assert.Zero(t, run(array, "theirs", "b", "c"))
	assert.Zero(t, run(array, "theirs", "a"))
	assert.Equal(t, 6, run(extend, lock.Value(), "b", "a"), "is not of their form")
	assert.Equal(t, 6, run(array, "theirs", "c", "d"))
	for _, set := range [][]string{{"c", "e"}, {"d"}, {"e", "d"}, {"c", "d"}} {
		_, err = l.LockAll(t.Context(), set, realTTL, oneTry)
		require.ErrorIs(t, err, redlock.ErrContended, "%v", set)
	}
	assert.Equal(t, 6, run(extend, "theirs", "d", "c"), "something of theirs is gone")
	assert.Equal(t, 6, run(release, "theirs", "c", "d"))
	lockOnce(t, l, "c")
	assert.Equal(t, 6, run(release, lock.Value(), "a", "b"))
	require.ErrorIs(t, lock.Unlock(t.Context()), redlock.ErrLockLost)
	rig.requireEmpty(t, realPatience)
	drain(t, l)
}

// With go-redis' default options a command comes back after 20 s.
func TestAFrozenRealMinorityCostsALockOnSeveralNothing(t *testing.T) {
	rig := newRealRig(t, 3)
	l := rig.locker(t)
	const rounds, ttl = 100, 2 * time.Minute
	names := realMany(16)
	lock, err := l.LockAll(t.Context(), names, ttl)
	require.NoError(t, err)
	require.NoError(t, lock.Unlock(t.Context()))
	drainCalls(t, l)
	rig.servers[1].Freeze()
	start := time.Now()
	for i := range rounds {
		set := names[i%8 : i%8+1+i%7]
		lock, err := l.LockAll(t.Context(), set, ttl)
		require.NoError(t, err)
		if i%10 == 0 {
			require.NoError(t, lock.Extend(t.Context(), ttl))
		}
		require.NoError(t, lock.Unlock(t.Context()))
	}
	took := time.Since(start)
	t.Log(took/rounds, "a lock")
	assert.Less(t, took, 15*time.Second, "waits for the frozen node")
	rig.servers[1].Thaw()
	rig.requireEmpty(t, 2*realPatience)
	drain(t, l)
}

func TestALockOnSeveralLivesThroughTheRestartOfEveryRealNode(t *testing.T) {
	rig := newRealRig(t, 3)
	l := rig.locker(t, redlock.WithAutoExtend(redlock.Forever))
	lock, err := l.LockAll(t.Context(), realMany(16), 6*time.Second)
	require.NoError(t, err)
	rig.requireAll(t, lock)
	for _, s := range rig.servers {
		s.Restart()
		rig.requireAll(t, lock) // automatic extension has given it all of them
		first := lock.Until()
		require.True(t, poll(realPatience, func() bool { return lock.Until().After(first) }))
	}
	require.True(t, lock.Valid())
	require.NoError(t, lock.Unlock(t.Context()))
	rig.requireEmpty(t, realPatience)
	drain(t, l)
}

func TestARealNodeThatHasLostOneKeyGetsItBack(t *testing.T) {
	rig := newRealRig(t, 3)
	l := rig.locker(t)
	lock, err := l.LockAll(t.Context(), realMany(1000), realTTL, redlock.WithFencing(time.Hour))
	require.NoError(t, err)
	rig.requireAll(t, lock)
	drainCalls(t, l)
	require.EqualValues(t, 1, rig.direct[2].Del(t.Context(), realMany(1000)[500]).Val())
	require.NoError(t, lock.Extend(t.Context(), realTTL))
	rig.requireAll(t, lock)
	drainCalls(t, l)
	for _, c := range rig.direct[:2] {
		require.EqualValues(t, 1, c.Del(t.Context(), realMany(1000)[0]).Val())
	}
	require.ErrorIs(t, lock.Extend(t.Context(), realTTL), redlock.ErrLockLost)
	realEventually(t, realPatience, func(c *assert.CollectT) {
		for i := range rig.direct {
			left, err := rig.direct[i].Exists(context.Background(), realMany(1000)...).Result()
			require.NoError(c, err)
			assert.Zero(c, left, "node %d", i)
		}
	})
	drain(t, l)
}

// Callers of several processes want random sets; each name has a counter that only
// its holder moves.
func TestRandomSetsOnRealServersNeverOverlap(t *testing.T) {
	rig := newRealRig(t, 3)
	const processes, callers, calls, names = 3, 8, 20, 6
	var inside [names]struct {
		sync.Mutex
		by int
	}
	var wg sync.WaitGroup
	lockers := []*redlock.Locker{rig.locker(t)}
	for len(lockers) < processes {
		lockers = append(lockers, rig.other(t))
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
					err := l.WithAll(t.Context(), set, realTTL, func(context.Context, *redlock.Lock) error {
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
	rig.requireEmpty(t, realPatience)
	for _, l := range lockers {
		drain(t, l)
	}
}

func TestTheReleaseOfSeveralCallsTheWaitersOnRealServers(t *testing.T) {
	rig := newRealRig(t, 3)
	l, others := rig.locker(t), rig.others(t, 16)
	lock, err := l.LockAll(t.Context(), realMany(16), realTTL)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i, other := range others {
		wg.Go(func() { lockOnce(t, other, realMany(16)[i], redlock.WithRetry(redlock.Forever, time.Hour)) })
	}
	realEventually(t, realPatience, func(c *assert.CollectT) {
		for _, resource := range realMany(16) {
			assert.Equal(c, 1, rig.waiting(c, resource), resource)
		}
	})
	start := time.Now()
	require.NoError(t, lock.Unlock(t.Context()))
	wg.Wait()
	t.Log("16 waiters of 16 processes in", time.Since(start))
	rig.requireEmpty(t, realPatience)
	for _, other := range append(others, l) {
		drain(t, other)
	}
}
