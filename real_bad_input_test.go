package redlock_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// A foreignKey is something that stands where a lock is to be.
type foreignKey struct {
	name string
	args []any // of the command that puts it there; {key} stands for the key
}

// wrongTypes are keys that a lock cannot be read from.
var wrongTypes = []foreignKey{
	{"list", []any{"RPUSH", "{key}", "a", "b"}},
	{"set", []any{"SADD", "{key}", "a", "b"}},
	{"hash", []any{"HSET", "{key}", "field", "value"}},
	{"sorted set", []any{"ZADD", "{key}", 1, "a"}},
	{"stream", []any{"XADD", "{key}", "1-1", "field", "value"}},
}

// strangeStrings are keys that read like a lock of somebody else.
func strangeStrings() []foreignKey {
	return []foreignKey{
		{"no expiry", []any{"SET", "{key}", "for good"}},
		{"an empty string", []any{"SET", "{key}", ""}},
		{"a counter", []any{"INCR", "{key}"}},
		{"a bitmap", []any{"SETBIT", "{key}", 9999, 1}},
		{"a HyperLogLog", []any{"PFADD", "{key}", "a"}},
		{"32 MiB", []any{"SET", "{key}", strings.Repeat("0123456789abcdef", 2<<20)}},
		{"NULs", []any{"SET", "{key}", strings.Repeat("\x00", 32)}},
	}
}

// put has servers hold the key, and returns what they hold.
func (k foreignKey) put(t *testing.T, servers []*redis.Client, key string) []string {
	t.Helper()
	args := make([]any, len(k.args))
	for i, arg := range k.args {
		if args[i] = arg; arg == "{key}" {
			args[i] = key
		}
	}
	for _, c := range servers {
		require.NoError(t, c.Do(t.Context(), args...).Err())
	}
	return dump(t, servers, key)
}

// dump returns what servers hold under a key, and for how long.
func dump(t *testing.T, servers []*redis.Client, key string) []string {
	t.Helper()
	var all []string
	for _, c := range servers {
		value, err := c.Dump(t.Context(), key).Result()
		require.NoError(t, err)
		left, err := c.PTTL(t.Context(), key).Result()
		require.NoError(t, err)
		all = append(all, value, left.String())
	}
	return all
}

// requireNamed requires that e names these servers and no others, all with an
// error of that type.
func (rig *realRig) requireNamed(t *testing.T, err error, op, kind string, servers ...int) {
	t.Helper()
	e, ok := errors.AsType[*redlock.LockError](err)
	require.True(t, ok)
	var named []int
	for _, n := range e.Nodes {
		named = append(named, n.Node)
		require.Equal(t, op, n.Op)
		require.Equal(t, kind, n.ErrorType(), "%v", n)
		require.Equal(t, rig.servers[n.Node].Addr(), n.Addr)
		require.ErrorContains(t, err, n.Addr)
	}
	require.Equal(t, servers, named)
}

// patient is for tests that wait for every answer, on a busy machine too.
func patient() redlock.Option { return redlock.WithNodeTimeout(realTTL / 2) }

func TestAKeyOfAnyOtherTypeOnAMinorityIsLeftAlone(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 5)
	for _, k := range wrongTypes {
		t.Run(k.name, func(t *testing.T) {
			held := k.put(t, rig.direct[:2], k.name)
			var log realLog
			l := rig.locker(t, patient(), log.option())
			lock, err := l.TryLock(t.Context(), k.name, realTTL)
			require.NoError(t, err)
			drainCalls(t, l)
			require.Equal(t, 3, rig.holders(t, k.name, lock.Value()))
			require.NoError(t, lock.Extend(t.Context(), 2*realTTL))
			drainCalls(t, l)
			require.NoError(t, lock.Unlock(t.Context()))
			drain(t, l)
			require.Equal(t, 2, rig.keys(t))
			require.Equal(t, held, dump(t, rig.direct[:2], k.name))
			heard := log.take(6)
			require.Len(t, heard, 6, "acquire, extend and release of two")
			for _, n := range heard {
				require.Less(t, n.Node, 2)
				require.Equal(t, "WRONGTYPE", n.ErrorType())
			}
			for _, c := range rig.direct {
				require.NoError(t, c.FlushAll(t.Context()).Err())
			}
		})
	}
}

func TestAKeyOfAnyOtherTypeOnAMajorityIsATypedErrorAndTheRestIsFree(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 5)
	for _, k := range wrongTypes {
		t.Run(k.name, func(t *testing.T) {
			held := k.put(t, rig.direct[:3], k.name)
			l := rig.locker(t, patient())
			_, err := l.Lock(t.Context(), k.name, realTTL, redlock.WithRetry(1, time.Millisecond))
			requireNoOtherKind(t, err, redlock.ErrNotAcquired, redlock.ErrNoQuorum)
			require.ErrorIs(t, err, redlock.ErrNotAcquired)
			rig.requireNamed(t, err, redlock.NodeAcquire, "WRONGTYPE", 0, 1, 2)
			require.ErrorContains(t, err, "wrong kind of value")
			drain(t, l)
			require.Equal(t, 3, rig.keys(t))
			require.Equal(t, held, dump(t, rig.direct[:3], k.name))
			for _, c := range rig.direct {
				require.NoError(t, c.FlushAll(t.Context()).Err())
			}
		})
	}
}

func TestAStrangeStringIsSomebodyElsesLock(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3)
	for _, k := range strangeStrings() {
		t.Run(k.name, func(t *testing.T) {
			l := rig.locker(t, patient())
			majority := k.put(t, rig.direct[:2], "majority")
			_, err := l.TryLock(t.Context(), "majority", realTTL)
			requireNoOtherKind(t, err, redlock.ErrNotAcquired, redlock.ErrContended)
			require.ErrorIs(t, err, redlock.ErrContended)
			e, _ := errors.AsType[*redlock.LockError](err)
			require.Zero(t, e.RetryAfter, "it never ends")
			drainCalls(t, l)
			require.Equal(t, majority, dump(t, rig.direct[:2], "majority"))
			require.Equal(t, 2, rig.keys(t))

			minority := k.put(t, rig.direct[:1], "minority")
			lock, err := l.TryLock(t.Context(), "minority", realTTL)
			require.NoError(t, err)
			drainCalls(t, l)
			require.NoError(t, lock.Extend(t.Context(), 2*realTTL))
			drainCalls(t, l)
			require.NoError(t, lock.Unlock(t.Context()))
			drain(t, l)
			require.Equal(t, minority, dump(t, rig.direct[:1], "minority"))
			require.Equal(t, 3, rig.keys(t))
			for _, c := range rig.direct {
				require.NoError(t, c.FlushAll(t.Context()).Err())
			}
		})
	}
}

func TestAKeyThatAnotherTypeReplacedUnderTheLockIsLeftAlone(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3)
	l := rig.locker(t, patient(), redlock.WithRetry(1, time.Millisecond))
	lock, err := l.TryLock(t.Context(), "k", realTTL)
	require.NoError(t, err)
	drainCalls(t, l)
	for _, c := range rig.direct[:2] {
		require.NoError(t, c.Del(t.Context(), "k").Err())
	}
	held := wrongTypes[0].put(t, rig.direct[:2], "k")
	until := lock.Until()

	err = lock.Extend(t.Context(), 2*realTTL)
	requireNoOtherKind(t, err, redlock.ErrNoQuorum)
	rig.requireNamed(t, err, redlock.NodeExtend, "WRONGTYPE", 0, 1)
	require.Equal(t, until, lock.Until())
	require.Equal(t, lock.Value(), rig.get(t, 2, "k"))

	err = lock.Unlock(t.Context())
	requireNoOtherKind(t, err, redlock.ErrNoQuorum)
	drain(t, l)
	require.Equal(t, held, dump(t, rig.direct[:2], "k"))
	require.Equal(t, 2, rig.keys(t), "ours is gone from the third")
}

func TestRealServersTakeHostileNamesAsTheyAre(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3)
	l, other := rig.locker(t, patient()), newRealLocker(t, rig.newClients(t), patient())
	long := []string{strings.Repeat("\x00", 1<<20), strings.Repeat("\r\n", 1<<19), strings.Repeat("{}", 1<<19)}
	for _, name := range slices.Concat(hostileNames()[1:], long) {
		lock, err := l.TryLock(t.Context(), name, realTTL)
		require.NoError(t, err, "%.40q", name)
		drainCalls(t, l)
		for _, c := range rig.direct {
			keys, err := c.Keys(t.Context(), "*").Result()
			require.NoError(t, err)
			require.Equal(t, []string{name}, keys)
		}
		_, err = other.TryLock(t.Context(), name, realTTL)
		require.ErrorIs(t, err, redlock.ErrContended, "%.40q", name)
		requireTidy(t, err, lock.Value())
		drainCalls(t, other)
		_, err = l.TryLock(t.Context(), name, realTTL)
		require.ErrorIs(t, err, redlock.ErrContended, "%.40q", name)
		requireTidy(t, err, lock.Value())
		require.NoError(t, lock.Extend(t.Context(), 2*realTTL))
		drainCalls(t, l)
		require.NoError(t, lock.Unlock(t.Context()))
		drainCalls(t, l)
		require.Zero(t, rig.keys(t), "%.40q", name)
	}
	drain(t, l)
	drain(t, other)
}

func TestRealServersTakeTheLongestTTL(t *testing.T) {
	t.Parallel()
	const most = time.Duration(math.MaxInt64) / time.Millisecond // 292 years
	rig := newRealRig(t, 3)
	l := rig.locker(t, patient())
	lock, err := l.TryLock(t.Context(), "k", math.MaxInt64)
	require.NoError(t, err)
	for _, extend := range []time.Duration{math.MaxInt64, realTTL, math.MaxInt64 - 1} {
		drainCalls(t, l)
		for _, c := range rig.direct {
			left, err := c.Do(t.Context(), "PTTL", "k").Int64()
			require.NoError(t, err)
			require.LessOrEqual(t, left, int64(most))
			require.Greater(t, left, int64(most)-realTTL.Milliseconds())
		}
		require.True(t, lock.Valid())
		require.NoError(t, lock.Extend(t.Context(), extend))
		require.True(t, lock.Until().After(time.Now()))
		require.Equal(t, extend > realTTL, lock.Until().After(time.Now().Add(200*365*24*time.Hour)))
	}
	require.NoError(t, lock.Unlock(t.Context()))
	drain(t, l)
	require.Zero(t, rig.keys(t))
}
