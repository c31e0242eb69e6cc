package errors_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func client(t *testing.T, opts *redis.Options) *redis.Client {
	t.Helper()
	c := redis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestNewTakesEveryGoRedisClientAsItIs(t *testing.T) {
	plain := client(t, &redis.Options{Addr: "127.0.0.1:1"})
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:2"}})
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:3"}, HeartbeatFrequency: time.Hour})
	failover := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "m", SentinelAddrs: []string{"127.0.0.1:4"}})
	failover2 := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "m", SentinelAddrs: []string{"127.0.0.1:5"}})
	pipeliner, err := plain.AutoPipeline()
	require.NoError(t, err)
	for _, c := range []interface{ Close() error }{cluster, ring, failover, failover2, pipeliner} {
		t.Cleanup(func() { _ = c.Close() })
	}
	for name, err := range map[string]error{
		"plain":     rig.Err(redlock.New([]*redis.Client{plain})),
		"cluster":   rig.Err(redlock.New([]*redis.ClusterClient{cluster})),
		"ring":      rig.Err(redlock.New([]*redis.Ring{ring})),
		"failover":  rig.Err(redlock.New([]*redis.Client{failover, failover2})),
		"universal": rig.Err(redlock.New([]redis.UniversalClient{plain, cluster, ring, failover})),
		"pipeliner": rig.Err(redlock.New([]*redis.AutoPipeliner{pipeliner})),
		"mixed":     rig.Err(redlock.New([]redlock.Client{plain, cluster, rig.Stub{}})),
		"custom":    rig.Err(redlock.New([]rig.Stub{{}, {}})),
	} {
		assert.NoError(t, err, name)
	}
}

func TestNewRejectsClientsThatCannotVoteOnceEach(t *testing.T) {
	a := client(t, &redis.Options{Addr: "127.0.0.1:1"})
	sameAddr := client(t, &redis.Options{Addr: "127.0.0.1:1"})
	otherDB := client(t, &redis.Options{Addr: "127.0.0.1:1", DB: 1})
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:9", "127.0.0.1:1"}})
	t.Cleanup(func() { _ = cluster.Close() })
	for name, c := range map[string]struct {
		err  error
		text string
	}{
		"none":         {rig.Err(redlock.New[*redis.Client](nil)), "no clients"},
		"nil":          {rig.Err(redlock.New([]*redis.Client{a, nil})), "client 2 is nil"},
		"typed nil":    {rig.Err(redlock.New([]redis.UniversalClient{(*redis.Client)(nil)})), "client 1 is nil"},
		"the same":     {rig.Err(redlock.New([]*redis.Client{a, a})), "vote twice"},
		"same address": {rig.Err(redlock.New([]*redis.Client{a, sameAddr})), "clients 1 and 2 are the same node (127.0.0.1:1)"},
		"in a cluster": {rig.Err(redlock.New([]redis.UniversalClient{a, cluster})), "vote twice"},
		"a pipeline":   {rig.Err(redlock.New([]redis.Pipeliner{a.Pipeline()})), "only queues"},
	} {
		require.ErrorIs(t, c.err, redlock.ErrInvalidArgument, name)
		assert.ErrorContains(t, c.err, c.text, name)
	}
	require.NoError(t, rig.Err(redlock.New([]*redis.Client{a, otherDB})))
}

func TestNewRejectsOptionsThatAreOutOfRange(t *testing.T) {
	for text, o := range map[string]redlock.Option{
		"WithDriftFactor(NaN)":                       redlock.WithDriftFactor(math.NaN()),
		"WithDriftFactor(-0.1)":                      redlock.WithDriftFactor(-0.1),
		"WithDriftFactor(1)":                         redlock.WithDriftFactor(1),
		"WithDriftFactor(+Inf)":                      redlock.WithDriftFactor(math.Inf(1)),
		"WithRetry(-2, 1s)":                          redlock.WithRetry(-2, time.Second),
		"WithRetry(1, -1s)":                          redlock.WithRetry(1, -time.Second),
		"WithJitter(-1ns)":                           redlock.WithJitter(-1),
		"WithMaxWait(0s)":                            redlock.WithMaxWait(0),
		"WithNodeTimeout(-1s)":                       redlock.WithNodeTimeout(-time.Second),
		"WithNodeErrorHandler(nil): want a function": redlock.WithNodeErrorHandler(nil),
		"option 1 is nil":                            nil,
	} {
		_, err := redlock.New([]rig.Stub{{}}, o)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument, text)
		assert.ErrorContains(t, err, text)
	}
	_, err := redlock.New([]rig.Stub{{}}, redlock.WithJitter(-1), redlock.WithMaxWait(-1))
	assert.ErrorContains(t, err, "WithJitter")
	assert.ErrorContains(t, err, "WithMaxWait", "all that is wrong is told")
}

func TestANumberWithoutAUnitIsNoDuration(t *testing.T) {
	const hint = "at least 1ms (a bare number is nanoseconds: write 10*time.Second)"
	l, err := redlock.New([]rig.Stub{{}})
	require.NoError(t, err)
	for text, o := range map[string]redlock.LockOption{
		"WithRetry(3, 5ns)":        redlock.WithRetry(3, 5),
		"WithJitter(100ns)":        redlock.WithJitter(100),
		"WithMaxWait(2ns)":         redlock.WithMaxWait(2),
		"WithNodeTimeout(999.9µs)": redlock.WithNodeTimeout(999900),
		"WithAutoExtend(6ns)":      redlock.WithAutoExtend(6),
		"WithFencing(24ns)":        redlock.WithFencing(24),
	} {
		for _, err := range []error{rig.Err(redlock.New([]rig.Stub{{}}, o)), rig.Err(l.Lock(t.Context(), "a", rig.TTL, o))} {
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, text)
			assert.ErrorContains(t, err, text)
			assert.ErrorContains(t, err, hint)
		}
	}
	require.NoError(t, rig.Err(redlock.New([]rig.Stub{{}}, redlock.WithRetry(0, 0), redlock.WithJitter(0), redlock.WithMaxWait(time.Millisecond),
		redlock.WithNodeTimeout(time.Millisecond), redlock.WithAutoExtend(redlock.Forever), redlock.WithFencing(redlock.Forever))))
}

func TestNewSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		rig.NewLocker(t, nodes)
		for _, n := range nodes {
			assert.Nil(t, n.Server())
		}
	})
}

func TestBadArgumentsOfLockAreRejectedAndSendNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		for name, err := range map[string]error{
			"empty resource":     rig.Err(l.Lock(t.Context(), "", rig.TTL)),
			"nil context":        rig.Err(l.Lock(nil, "a", rig.TTL)), //nolint:staticcheck // what is tested
			"a bare number":      rig.Err(l.Lock(t.Context(), "a", 10)),
			"under its drift":    rig.Err(l.Lock(t.Context(), "a", 2*time.Millisecond)),
			"a negative ttl":     rig.Err(l.Lock(t.Context(), "a", -time.Second)),
			"a bad option":       rig.Err(l.Lock(t.Context(), "a", rig.TTL, redlock.WithJitter(-1))),
			"a nil option":       rig.Err(l.TryLock(t.Context(), "a", rig.TTL, nil)),
			"a zero Locker":      rig.Err(new(redlock.Locker).Lock(t.Context(), "a", rig.TTL)),
			"a nil Locker":       rig.Err((*redlock.Locker)(nil).TryLock(t.Context(), "a", rig.TTL)),
			"a zero Locker With": new(redlock.Locker).With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error { return nil }, nil),
		} {
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, name)
		}
		_, err := l.Lock(t.Context(), "a", 10)
		assert.EqualError(t, err, "redlock: invalid argument: ttl 10ns: want at least 1ms (a bare number is nanoseconds: write 10*time.Second)")
		assert.Nil(t, nodes[0].Server())
	})
}

func TestTheTTLIsCutToWholeMilliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		start := time.Now()
		k, err := rig.NewLocker(t, nodes, redlock.WithDriftFactor(0)).Lock(t.Context(), "a", time.Second+999*time.Microsecond)
		require.NoError(t, err)
		assert.Equal(t, time.Second, nodes[0].TTL("a"))
		assert.Equal(t, start.Add(998*time.Millisecond), k.Until())
	})
}

func TestTheLongestTTLWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		k, err := l.Lock(t.Context(), "a", math.MaxInt64)
		require.NoError(t, err)
		assert.True(t, k.Valid())
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestAReplyThatNobodySetIsNoVote(t *testing.T) {
	for _, reply := range []any{nil, int64(0), int64(7), "OK", []any{}, []any{int64(1), int64(2)}, []any{"x", "y"}} {
		l, err := redlock.New([]rig.Stub{{Reply: reply}})
		require.NoError(t, err)
		_, err = l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrNoQuorum, "%v", reply)
	}
}
