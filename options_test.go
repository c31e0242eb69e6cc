package redlock_test

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
)

func client(t *testing.T, opts *redis.Options) *redis.Client {
	t.Helper()
	c := redis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A stub answers every command with its reply; it must not be compared.
type stub struct {
	reply any
	_     []int
}

func (s stub) Process(_ context.Context, cmd redis.Cmder) error {
	if c, ok := cmd.(interface{ SetVal(any) }); ok && s.reply != nil {
		c.SetVal(s.reply)
	}
	return nil
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
		"plain":     second(redlock.New([]*redis.Client{plain})),
		"cluster":   second(redlock.New([]*redis.ClusterClient{cluster})),
		"ring":      second(redlock.New([]*redis.Ring{ring})),
		"failover":  second(redlock.New([]*redis.Client{failover, failover2})),
		"universal": second(redlock.New([]redis.UniversalClient{plain, cluster, ring, failover})),
		"pipeliner": second(redlock.New([]*redis.AutoPipeliner{pipeliner})),
		"mixed":     second(redlock.New([]redlock.Client{plain, cluster, stub{}})),
		"custom":    second(redlock.New([]stub{{}, {}})),
	} {
		assert.NoError(t, err, name)
	}
}

func second[T any](_ T, err error) error { return err }

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
		"none":         {second(redlock.New[*redis.Client](nil)), "no clients"},
		"nil":          {second(redlock.New([]*redis.Client{a, nil})), "client 1 is nil"},
		"typed nil":    {second(redlock.New([]redis.UniversalClient{(*redis.Client)(nil)})), "client 0 is nil"},
		"the same":     {second(redlock.New([]*redis.Client{a, a})), "vote twice"},
		"same address": {second(redlock.New([]*redis.Client{a, sameAddr})), "clients 0 and 1 are the same node (127.0.0.1:1)"},
		"in a cluster": {second(redlock.New([]redis.UniversalClient{a, cluster})), "vote twice"},
		"a pipeline":   {second(redlock.New([]redis.Pipeliner{a.Pipeline()})), "only queues"},
	} {
		require.ErrorIs(t, c.err, redlock.ErrInvalidArgument, name)
		assert.ErrorContains(t, c.err, c.text, name)
	}
	require.NoError(t, second(redlock.New([]*redis.Client{a, otherDB})))
}

func TestNewRejectsOptionsThatAreOutOfRange(t *testing.T) {
	for text, o := range map[string]redlock.Option{
		"WithDriftFactor(NaN)":      redlock.WithDriftFactor(math.NaN()),
		"WithDriftFactor(-0.1)":     redlock.WithDriftFactor(-0.1),
		"WithDriftFactor(1)":        redlock.WithDriftFactor(1),
		"WithDriftFactor(+Inf)":     redlock.WithDriftFactor(math.Inf(1)),
		"WithRetry(-2, 1s)":         redlock.WithRetry(-2, time.Second),
		"WithRetry(1, -1s)":         redlock.WithRetry(1, -time.Second),
		"WithJitter(-1ns)":          redlock.WithJitter(-1),
		"WithMaxWait(0s)":           redlock.WithMaxWait(0),
		"WithNodeTimeout(-1s)":      redlock.WithNodeTimeout(-time.Second),
		"WithNodeErrorHandler(nil)": redlock.WithNodeErrorHandler(nil),
		"option 0 is nil":           nil,
	} {
		_, err := redlock.New([]stub{{}}, o)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument, text)
		assert.ErrorContains(t, err, text)
	}
	_, err := redlock.New([]stub{{}}, redlock.WithJitter(-1), redlock.WithMaxWait(-1))
	assert.ErrorContains(t, err, "WithJitter")
	assert.ErrorContains(t, err, "WithMaxWait", "all that is wrong is told")
}

func TestNewSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		newLocker(t, nodes)
		for _, n := range nodes {
			assert.Nil(t, n.Server())
		}
	})
}

func TestBadArgumentsOfLockAreRejectedAndSendNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		l := newLocker(t, nodes)
		for name, err := range map[string]error{
			"empty resource":     second(l.Lock(t.Context(), "", ttl)),
			"nil context":        second(l.Lock(nil, "a", ttl)), //nolint:staticcheck // what is tested
			"a bare number":      second(l.Lock(t.Context(), "a", 10)),
			"under its drift":    second(l.Lock(t.Context(), "a", 2*time.Millisecond)),
			"a negative ttl":     second(l.Lock(t.Context(), "a", -time.Second)),
			"a bad option":       second(l.Lock(t.Context(), "a", ttl, redlock.WithJitter(-1))),
			"a nil option":       second(l.TryLock(t.Context(), "a", ttl, nil)),
			"a zero Locker":      second(new(redlock.Locker).Lock(t.Context(), "a", ttl)),
			"a nil Locker":       second((*redlock.Locker)(nil).TryLock(t.Context(), "a", ttl)),
			"a zero Locker With": new(redlock.Locker).With(t.Context(), "a", ttl, func(context.Context, *redlock.Lock) error { return nil }, nil),
		} {
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, name)
			assert.NotErrorIs(t, err, redlock.ErrNotAcquired, name)
		}
		_, err := l.Lock(t.Context(), "a", 10)
		assert.EqualError(t, err, "redlock: invalid argument: ttl 10ns: want at least 1ms (a bare number is nanoseconds: write 10*time.Second)")
		assert.Nil(t, nodes[0].Server())
	})
}

func TestTheTTLIsCutToWholeMilliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		start := time.Now()
		k, err := newLocker(t, nodes, redlock.WithDriftFactor(0)).Lock(t.Context(), "a", time.Second+999*time.Microsecond)
		require.NoError(t, err)
		assert.Equal(t, time.Second, nodes[0].TTL("a"))
		assert.Equal(t, start.Add(998*time.Millisecond), k.Until())
	})
}

func TestTheLongestTTLWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		l := newLocker(t, nodes)
		k, err := l.Lock(t.Context(), "a", math.MaxInt64)
		require.NoError(t, err)
		assert.True(t, k.Valid())
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestAReplyThatNobodySetIsNoVote(t *testing.T) {
	for _, reply := range []any{nil, int64(0), int64(7), "OK", []any{}, []any{int64(1), int64(2)}, []any{"x", "y"}} {
		l, err := redlock.New([]stub{{reply: reply}})
		require.NoError(t, err)
		_, err = l.TryLock(t.Context(), "a", ttl)
		require.ErrorIs(t, err, redlock.ErrNoQuorum, "%v", reply)
	}
}
