package redlock_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// plainSet is what other Redlock libraries send to acquire.
func plainSet(t *testing.T, c *redis.Client, key, value string) bool {
	t.Helper()
	reply, err := c.Do(t.Context(), "SET", key, value, "NX", "PX", realTTL.Milliseconds()).Text()
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
		ttl = realTTL
	)
	rig := newRealRig(t, n)
	l := rig.locker(t)

	for i := range 2 {
		require.True(t, plainSet(t, rig.direct[i], "theirs", "whatever they take"))
	}
	_, err := l.TryLock(t.Context(), "theirs", ttl)
	require.ErrorIs(t, err, redlock.ErrContended)
	drainCalls(t, l)
	require.Equal(t, 2, rig.holders(t, "theirs", "whatever they take"), "theirs is left alone")
	require.Empty(t, rig.get(t, 2, "theirs"), "ours is taken back")

	require.True(t, plainSet(t, rig.direct[0], "minority", "whatever they take"))
	lock, err := l.TryLock(t.Context(), "minority", ttl)
	require.NoError(t, err)
	require.NoError(t, lock.Unlock(t.Context()))

	begun := time.Now()
	lock, err = l.TryLock(t.Context(), "our own: {any} bytes\x00", ttl)
	require.NoError(t, err)
	drainCalls(t, l)
	require.Regexp(t, "^[0-9a-f]{32}$", lock.Value())
	for i, c := range rig.direct {
		value, err := c.Get(t.Context(), lock.Resource()).Result()
		require.NoError(t, err)
		require.Equal(t, lock.Value(), value)
		left := rig.pttl(t, i, lock.Resource())
		require.LessOrEqual(t, left, ttl)
		require.Greater(t, left, ttl-time.Since(begun)-200*time.Millisecond)
		require.False(t, plainSet(t, c, lock.Resource(), "x"))
	}
	// The release that other Redlock libraries send works too.
	const release = `if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end`
	for _, c := range rig.direct {
		n, err := c.Eval(t.Context(), release, []string{lock.Resource()}, lock.Value()).Int()
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	require.ErrorIs(t, lock.Extend(t.Context(), ttl), redlock.ErrLockLost)
	drain(t, l)
}

// A customClient has nothing but what is asked of a client.
type customClient struct {
	process func(context.Context, redis.Cmder) error
}

func (c customClient) Process(ctx context.Context, cmd redis.Cmder) error { return c.process(ctx, cmd) }

// tryOut makes a Locker on clients and locks, extends and unlocks with it.
func tryOut[C redlock.Client](t *testing.T, rig *realRig, clients []C) {
	t.Helper()
	l := newRealLocker(t, clients)
	lock, err := l.TryLock(t.Context(), "k", realTTL)
	require.NoError(t, err)
	drainCalls(t, l)
	require.Equal(t, len(clients), rig.holders(t, "k", lock.Value()))
	_, err = l.TryLock(t.Context(), "k", realTTL)
	require.ErrorIs(t, err, redlock.ErrContended)
	drainCalls(t, l)
	require.NoError(t, lock.Extend(t.Context(), 2*realTTL))
	require.NoError(t, lock.Unlock(t.Context()))
	drain(t, l)
	rig.requireEmpty(t, realTTL/3)
}

func TestEveryKindOfClientWillDo(t *testing.T) {
	t.Parallel()
	const n = 3
	rig := newRealRig(t, n)
	t.Run("UniversalClient", func(t *testing.T) {
		all := make([]redis.UniversalClient, n)
		for i, s := range rig.servers {
			all[i] = redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{s.Addr()}})
			t.Cleanup(func() { assert.NoError(t, all[i].Close()) })
		}
		tryOut(t, rig, all)
	})
	t.Run("Ring", func(t *testing.T) {
		all := make([]*redis.Ring, n)
		for i, s := range rig.servers {
			all[i] = redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"only": s.Addr()}})
			t.Cleanup(func() { assert.NoError(t, all[i].Close()) })
		}
		tryOut(t, rig, all)
	})
	t.Run("AutoPipeliner", func(t *testing.T) {
		tryOut(t, rig, autoPipeline(t, rig.newClients(t), (*redis.Client).AutoPipeline))
	})
	t.Run("deferred AutoPipeliner", func(t *testing.T) {
		tryOut(t, rig, autoPipeline(t, rig.newClients(t), (*redis.Client).AsyncAutoPipeline))
	})
	t.Run("Conn", func(t *testing.T) {
		all := make([]*redis.Conn, n)
		for i, c := range rig.newClients(t) {
			all[i] = c.Conn()
			t.Cleanup(func() { assert.NoError(t, all[i].Close()) })
		}
		tryOut(t, rig, all)
	})
	t.Run("a type of its own, not comparable", func(t *testing.T) {
		all := make([]customClient, n)
		for i, c := range rig.newClients(t) {
			all[i] = customClient{c.Process}
		}
		tryOut(t, rig, all)
	})
	t.Run("a mixture", func(t *testing.T) {
		clients := rig.newClients(t)
		ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"only": rig.servers[1].Addr()}})
		t.Cleanup(func() { assert.NoError(t, ring.Close()) })
		tryOut(t, rig, []redlock.Client{clients[0], ring, customClient{clients[2].Process}})
	})
}

func TestNodeThatWouldVoteTwiceIsRejected(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 2)
	same := rig.servers[0].Client(t)
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"only": same.Options().Addr}})
	t.Cleanup(func() { assert.NoError(t, ring.Close()) })
	for _, tt := range []struct {
		name    string
		clients []redlock.Client
	}{
		{"same client", []redlock.Client{same, rig.clients[1], same}},
		{"same address", []redlock.Client{rig.clients[0], rig.clients[1], same}},
		{"same address in a Ring", []redlock.Client{rig.clients[0], rig.clients[1], ring}},
	} {
		_, err := redlock.New(tt.clients)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument, tt.name)
		require.ErrorContains(t, err, same.Options().Addr, tt.name)
	}
	_, err := redlock.New([]redlock.Client{rig.clients[0], rig.servers[0].Client(t, func(o *redis.Options) { o.DB = 1 })})
	require.NoError(t, err, "another database votes for itself")
}
