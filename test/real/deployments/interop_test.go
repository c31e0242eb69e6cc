package deployments_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// plainSet is what other Redlock libraries send to acquire.
func plainSet(t *testing.T, c *redis.Client, key, value string) bool {
	t.Helper()
	reply, err := c.Do(t.Context(), "SET", key, value, "NX", "PX", rig.LongTTL.Milliseconds()).Text()
	if err != nil {
		require.ErrorIs(t, err, redis.Nil)
		return false
	}
	return reply == "OK"
}

func TestLocksOfOtherLibrariesAndOursExcludeEachOther(t *testing.T) {
	t.Parallel()
	const (
		n   = 3
		ttl = rig.LongTTL
	)
	on := rig.NewReal(t, n)
	l := on.Locker(t)

	for i := range 2 {
		require.True(t, plainSet(t, on.Direct[i], "theirs", "whatever they take"))
	}
	_, err := l.TryLock(t.Context(), "theirs", ttl)
	require.ErrorIs(t, err, redlock.ErrContended)
	rig.DrainCalls(t, l)
	require.Equal(t, 2, on.Holders(t, "theirs", "whatever they take"), "theirs is left alone")
	require.Empty(t, on.Get(t, 2, "theirs"), "ours is taken back")

	require.True(t, plainSet(t, on.Direct[0], "minority", "whatever they take"))
	lock, err := l.TryLock(t.Context(), "minority", ttl)
	require.NoError(t, err)
	require.NoError(t, lock.Unlock(t.Context()))

	begun := time.Now()
	lock, err = l.TryLock(t.Context(), "our own: {any} bytes\x00", ttl)
	require.NoError(t, err)
	rig.DrainCalls(t, l)
	require.Regexp(t, "^[0-9a-f]{32}$", lock.Value())
	for i, c := range on.Direct {
		value, err := c.Get(t.Context(), lock.Resource()).Result()
		require.NoError(t, err)
		require.Equal(t, lock.Value(), value)
		left := on.PTTL(t, i, lock.Resource())
		require.LessOrEqual(t, left, ttl)
		require.Greater(t, left, ttl-time.Since(begun)-200*time.Millisecond)
		require.False(t, plainSet(t, c, lock.Resource(), "x"))
	}
	// The release that other Redlock libraries send works too.
	const release = `if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end`
	for _, c := range on.Direct {
		n, err := c.Eval(t.Context(), release, []string{lock.Resource()}, lock.Value()).Int()
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	require.ErrorIs(t, lock.Extend(t.Context(), ttl), redlock.ErrLockLost)
	rig.Drain(t, l)
}

// tryOut makes a Locker on clients and locks, extends and unlocks with it.
func tryOut[C redlock.Client](t *testing.T, on *rig.Real, clients []C) {
	t.Helper()
	l := rig.NewRealLocker(t, clients)
	lock, err := l.TryLock(t.Context(), "k", rig.LongTTL)
	require.NoError(t, err)
	rig.DrainCalls(t, l)
	require.Equal(t, len(clients), on.Holders(t, "k", lock.Value()))
	_, err = l.TryLock(t.Context(), "k", rig.LongTTL)
	require.ErrorIs(t, err, redlock.ErrContended)
	rig.DrainCalls(t, l)
	require.NoError(t, lock.Extend(t.Context(), 2*rig.LongTTL))
	require.NoError(t, lock.Unlock(t.Context()))
	rig.Drain(t, l)
	on.RequireEmpty(t, rig.LongTTL/3)
}

func TestEveryKindOfClientWillDo(t *testing.T) {
	t.Parallel()
	const n = 3
	on := rig.NewReal(t, n)
	t.Run("UniversalClient", func(t *testing.T) {
		all := make([]redis.UniversalClient, n)
		for i, s := range on.Servers {
			all[i] = redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{s.Addr()}})
			t.Cleanup(func() { assert.NoError(t, all[i].Close()) })
		}
		tryOut(t, on, all)
	})
	t.Run("Ring", func(t *testing.T) {
		all := make([]*redis.Ring, n)
		for i, s := range on.Servers {
			all[i] = redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"only": s.Addr()}})
			t.Cleanup(func() { assert.NoError(t, all[i].Close()) })
		}
		tryOut(t, on, all)
	})
	t.Run("AutoPipeliner", func(t *testing.T) {
		tryOut(t, on, rig.AutoPipeline(t, on.NewClients(t), (*redis.Client).AutoPipeline))
	})
	t.Run("deferred AutoPipeliner", func(t *testing.T) {
		tryOut(t, on, rig.AutoPipeline(t, on.NewClients(t), (*redis.Client).AsyncAutoPipeline))
	})
	t.Run("Conn", func(t *testing.T) {
		all := make([]*redis.Conn, n)
		for i, c := range on.NewClients(t) {
			all[i] = c.Conn()
			t.Cleanup(func() { assert.NoError(t, all[i].Close()) })
		}
		tryOut(t, on, all)
	})
	t.Run("a type of its own, not comparable", func(t *testing.T) {
		all := make([]rig.CustomClient, n)
		for i, c := range on.NewClients(t) {
			all[i] = rig.CustomClient{Do: c.Process}
		}
		tryOut(t, on, all)
	})
	t.Run("a mixture", func(t *testing.T) {
		clients := on.NewClients(t)
		ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"only": on.Servers[1].Addr()}})
		t.Cleanup(func() { assert.NoError(t, ring.Close()) })
		tryOut(t, on, []redlock.Client{clients[0], ring, rig.CustomClient{Do: clients[2].Process}})
	})
}

func TestNodeThatWouldVoteTwiceIsRejected(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 2)
	same := on.Servers[0].Client(t)
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"only": same.Options().Addr}})
	t.Cleanup(func() { assert.NoError(t, ring.Close()) })
	for _, tt := range []struct {
		name    string
		clients []redlock.Client
	}{
		{"same client", []redlock.Client{same, on.Clients[1], same}},
		{"same address", []redlock.Client{on.Clients[0], on.Clients[1], same}},
		{"same address in a Ring", []redlock.Client{on.Clients[0], on.Clients[1], ring}},
	} {
		_, err := redlock.New(tt.clients)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument, tt.name)
		require.ErrorContains(t, err, same.Options().Addr, tt.name)
	}
	_, err := redlock.New([]redlock.Client{on.Clients[0], on.Servers[0].Client(t, func(o *redis.Options) { o.DB = 1 })})
	require.NoError(t, err, "another database votes for itself")
}
