package several_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A wrapped client is one of somebody else's type.
type wrapped struct{ *redis.ClusterClient }

// apart are clients that nothing answers, each of a kind of its own.
type apart struct {
	cluster, other  *redis.ClusterClient
	universal, ring redis.UniversalClient
	single          *redis.Client
	dialled         atomic.Int64
}

func newApart(t *testing.T) *apart {
	t.Helper()
	a := new(apart)
	dial := func(context.Context, string, string) (net.Conn, error) {
		a.dialled.Add(1)
		ours, theirs := net.Pipe()
		return ours, theirs.Close()
	}
	a.cluster = redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, Dialer: dial, MaxRetries: -1, MaxRedirects: -1})
	a.universal = redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{"127.0.0.1:2", "127.0.0.1:3"}, Dialer: dial, MaxRetries: -1, MaxRedirects: -1})
	a.other = redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:4"}, Dialer: dial, MaxRetries: -1, MaxRedirects: -1})
	a.ring = redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": "127.0.0.1:5"}, Dialer: dial})
	a.single = redis.NewClient(&redis.Options{Addr: "127.0.0.1:6", Dialer: dial, MaxRetries: -1})
	for _, c := range []redis.UniversalClient{a.cluster, a.universal, a.other, a.ring, a.single} {
		t.Cleanup(func() { assert.NoError(t, c.Close()) })
	}
	return a
}

func TestResourcesThatAClusterOrARingKeepsApartAreRejectedBeforeAnythingIsSent(t *testing.T) {
	const together = "give all a common hash tag, a part in braces that alone decides, as in {order:42}:items and {order:42}:payment"
	for _, tt := range []struct {
		name    string
		clients func(a *apart) []redlock.Client
		want    string
	}{
		{
			"a Cluster",
			func(a *apart) []redlock.Client { return []redlock.Client{a.cluster} },
			`resources "a" and "c" lie in different slots of the Cluster that client 1 is: ` + together,
		},
		{
			"a Cluster as a universal client",
			func(a *apart) []redlock.Client { return []redlock.Client{a.single, a.universal} },
			"slots of the Cluster that client 2 is",
		},
		{
			"a Cluster in another type",
			func(a *apart) []redlock.Client { return []redlock.Client{a.single, wrapped{a.other}} },
			"slots of the Cluster that client 2 is",
		},
		{
			"a Ring",
			func(a *apart) []redlock.Client { return []redlock.Client{a.ring} },
			`resources "a" and "c" may lie on different shards of the Ring that client 1 is: ` + together,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newApart(t)
				clients := tt.clients(a)
				before := a.dialled.Load() // a Ring looks after its shards by itself
				l, err := redlock.New(clients)
				require.NoError(t, err)
				_, err = l.LockAll(t.Context(), []string{"c", "a", "{a}b"}, rig.TTL)
				require.ErrorIs(t, err, redlock.ErrInvalidArgument)
				assert.ErrorContains(t, err, tt.want)
				if clients[0] != redlock.Client(a.ring) {
					assert.Equal(t, before, a.dialled.Load(), "something was sent")
				}
				for _, fine := range [][]string{{"c"}, {"c", "c"}, {"a", "{a}b", "x{a}y"}, {"{order:42}:items", "{order:42}:payment"}} {
					_, err = l.LockAll(t.Context(), fine, rig.TTL, rig.OneTry)
					require.ErrorIs(t, err, redlock.ErrNoQuorum, "%q", fine)
				}
				rig.Drain(t, l)
			})
		})
	}
}

func TestResourcesOfOneSlotMayLieOnDifferentShardsOfARing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApart(t)
		l, err := redlock.New([]redlock.Client{a.cluster, a.ring})
		require.NoError(t, err)
		// Tags of one slot may part when the Ring changes.
		_, err = l.LockAll(t.Context(), []string{"a", rig.OneSlot}, rig.TTL)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		assert.ErrorContains(t, err, "the Ring that client 2 is")
		rig.Drain(t, l)
	})
}
