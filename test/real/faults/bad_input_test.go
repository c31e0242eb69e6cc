package faults_test

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
	"github.com/b0401464/redlock/test/rig"
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

// patient is for tests that wait for every answer, on a busy machine too.
func patient() redlock.Option { return redlock.WithNodeTimeout(rig.LongTTL / 2) }

func TestAKeyOfAnyOtherTypeOnAMinorityIsLeftAlone(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 5)
	for _, k := range wrongTypes {
		t.Run(k.name, func(t *testing.T) {
			held := k.put(t, on.Direct[:2], k.name)
			var log rig.ErrorLog
			l := on.Locker(t, patient(), log.Option())
			lock, err := l.TryLock(t.Context(), k.name, rig.LongTTL)
			require.NoError(t, err)
			rig.DrainCalls(t, l)
			require.Equal(t, 3, on.Holders(t, k.name, lock.Value()))
			require.NoError(t, lock.Extend(t.Context(), 2*rig.LongTTL))
			rig.DrainCalls(t, l)
			require.NoError(t, lock.Unlock(t.Context()))
			rig.Drain(t, l)
			require.Equal(t, 2, on.Keys(t))
			require.Equal(t, held, dump(t, on.Direct[:2], k.name))
			heard := log.Take(6)
			require.Len(t, heard, 6, "acquire, extend and release of two")
			for _, n := range heard {
				require.LessOrEqual(t, n.Node, 2)
				require.Equal(t, "WRONGTYPE", n.ErrorType())
			}
			for _, c := range on.Direct {
				require.NoError(t, c.FlushAll(t.Context()).Err())
			}
		})
	}
}

func TestAKeyOfAnyOtherTypeOnAMajorityIsATypedErrorAndTheRestIsFree(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 5)
	for _, k := range wrongTypes {
		t.Run(k.name, func(t *testing.T) {
			held := k.put(t, on.Direct[:3], k.name)
			l := on.Locker(t, patient())
			_, err := l.Lock(t.Context(), k.name, rig.LongTTL, redlock.WithRetry(1, time.Millisecond))
			rig.RequireNoOtherKind(t, err, redlock.ErrNoQuorum)
			on.RequireNamed(t, err, redlock.OpAcquire, "WRONGTYPE", 0, 1, 2)
			require.ErrorContains(t, err, "wrong kind of value")
			rig.Drain(t, l)
			require.Equal(t, 3, on.Keys(t))
			require.Equal(t, held, dump(t, on.Direct[:3], k.name))
			for _, c := range on.Direct {
				require.NoError(t, c.FlushAll(t.Context()).Err())
			}
		})
	}
}

func TestAStrangeStringIsSomebodyElsesLock(t *testing.T) {
	rig.Long(t)
	t.Parallel()
	on := rig.NewReal(t, 3)
	for _, k := range strangeStrings() {
		t.Run(k.name, func(t *testing.T) {
			l := rig.NewRealLocker(t, on.NewClients(t, rig.Hang), patient()) // a busy server takes seconds for 32 MiB
			majority := k.put(t, on.Direct[:2], "majority")
			_, err := l.TryLock(t.Context(), "majority", rig.LongTTL)
			rig.RequireNoOtherKind(t, err, redlock.ErrContended)
			require.ErrorIs(t, err, redlock.ErrContended)
			e, _ := errors.AsType[*redlock.LockError](err)
			require.EqualValues(t, redlock.Forever, e.RetryAfter)
			rig.DrainCalls(t, l)
			require.Equal(t, majority, dump(t, on.Direct[:2], "majority"))
			require.Equal(t, 2, on.Keys(t))

			minority := k.put(t, on.Direct[:1], "minority")
			lock, err := l.TryLock(t.Context(), "minority", rig.LongTTL)
			require.NoError(t, err)
			rig.DrainCalls(t, l)
			require.NoError(t, lock.Extend(t.Context(), 2*rig.LongTTL))
			rig.DrainCalls(t, l)
			require.NoError(t, lock.Unlock(t.Context()))
			rig.Drain(t, l)
			require.Equal(t, minority, dump(t, on.Direct[:1], "minority"))
			require.Equal(t, 3, on.Keys(t))
			for _, c := range on.Direct {
				require.NoError(t, c.FlushAll(t.Context()).Err())
			}
		})
	}
}

func TestAKeyThatAnotherTypeReplacedUnderTheLockIsLeftAlone(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	l := on.Locker(t, patient(), redlock.WithRetry(0, 0))
	lock, err := l.TryLock(t.Context(), "k", rig.LongTTL)
	require.NoError(t, err)
	rig.DrainCalls(t, l)
	for _, c := range on.Direct[:2] {
		require.NoError(t, c.Del(t.Context(), "k").Err())
	}
	held := wrongTypes[0].put(t, on.Direct[:2], "k")
	until := lock.Until()

	err = lock.Extend(t.Context(), 2*rig.LongTTL)
	rig.RequireNoOtherKind(t, err, redlock.ErrNoQuorum)
	on.RequireNamed(t, err, redlock.OpExtend, "WRONGTYPE", 0, 1)
	require.Equal(t, until, lock.Until())
	require.Equal(t, lock.Value(), on.Get(t, 2, "k"))

	err = lock.Unlock(t.Context())
	rig.RequireNoOtherKind(t, err, redlock.ErrNoQuorum)
	rig.Drain(t, l)
	require.Equal(t, held, dump(t, on.Direct[:2], "k"))
	require.Equal(t, 2, on.Keys(t), "ours is gone from the third")
}

func TestRealServersTakeHostileNamesAsTheyAre(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	l, other := on.Locker(t, patient()), rig.NewRealLocker(t, on.NewClients(t), patient())
	long := []string{strings.Repeat("\x00", 1<<20), strings.Repeat("\r\n", 1<<19), strings.Repeat("{}", 1<<19)}
	for _, name := range slices.Concat(rig.HostileNames()[1:], long) {
		lock, err := l.TryLock(t.Context(), name, rig.LongTTL)
		require.NoError(t, err, "%.40q", name)
		rig.DrainCalls(t, l)
		for _, c := range on.Direct {
			keys, err := c.Keys(t.Context(), "*").Result()
			require.NoError(t, err)
			require.Equal(t, []string{name}, keys)
		}
		_, err = other.TryLock(t.Context(), name, rig.LongTTL)
		require.ErrorIs(t, err, redlock.ErrContended, "%.40q", name)
		rig.RequireTidy(t, err, lock.Value())
		rig.DrainCalls(t, other)
		_, err = l.TryLock(t.Context(), name, rig.LongTTL)
		require.ErrorIs(t, err, redlock.ErrContended, "%.40q", name)
		rig.RequireTidy(t, err, lock.Value())
		require.NoError(t, lock.Extend(t.Context(), 2*rig.LongTTL))
		rig.DrainCalls(t, l)
		require.NoError(t, lock.Unlock(t.Context()))
		rig.DrainCalls(t, l)
		require.Zero(t, on.Keys(t), "%.40q", name)
	}
	rig.Drain(t, l)
	rig.Drain(t, other)
}

func TestRealServersTakeTheLongestTTL(t *testing.T) {
	t.Parallel()
	const most = time.Duration(math.MaxInt64) / time.Millisecond // 292 years
	on := rig.NewReal(t, 3)
	l := on.Locker(t, patient())
	lock, err := l.TryLock(t.Context(), "k", math.MaxInt64)
	require.NoError(t, err)
	for _, extend := range []time.Duration{math.MaxInt64, rig.LongTTL, math.MaxInt64 - 1} {
		rig.DrainCalls(t, l)
		for _, c := range on.Direct {
			left, err := c.Do(t.Context(), "PTTL", "k").Int64()
			require.NoError(t, err)
			require.LessOrEqual(t, left, int64(most))
			require.Greater(t, left, int64(most)-rig.LongTTL.Milliseconds())
		}
		require.True(t, lock.Valid())
		require.NoError(t, lock.Extend(t.Context(), extend))
		require.True(t, lock.Until().After(time.Now()))
		require.Equal(t, extend > rig.LongTTL, lock.Until().After(time.Now().Add(200*365*24*time.Hour)))
	}
	require.NoError(t, lock.Unlock(t.Context()))
	rig.Drain(t, l)
	require.Zero(t, on.Keys(t))
}
