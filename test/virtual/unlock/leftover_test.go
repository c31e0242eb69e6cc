package unlock_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A losingConn loses a reply when it is to, and the node goes away with it.
type losingConn struct {
	net.Conn
	node  *rig.Node
	loses *atomic.Bool
}

func (c *losingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.loses.CompareAndSwap(true, false) {
		c.node.Stop()
		return 0, io.EOF
	}
	return n, err
}

// loseReplies gives the node a client that loses the next reply when loses is set.
func loseReplies(t *testing.T, n *rig.Node, loses *atomic.Bool) {
	t.Helper()
	require.NoError(t, n.Client.Close())
	n.Client = redis.NewClient(&redis.Options{
		Addr: n.Client.Options().Addr,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := n.Dialer(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &losingConn{c, n, loses}, nil
		},
		PoolSize:                 5000,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

func TestAReleaseIsTriedOnceMoreWhereTheReplyToTheAcquireWasLostAndThenNothingConnects(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"by itself": nil, "in batches": {redlock.WithAutoPipeline()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var loses atomic.Bool
				nodes := rig.New(t, 3)
				loseReplies(t, nodes[0], &loses)
				failed := make(chan struct{}, 10)
				l := rig.NewLocker(t, nodes, append(opts, redlock.WithoutWaitingLine(),
					redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
						t.Log(err)
						if err.Op == redlock.OpRelease {
							failed <- struct{}{}
						}
					}))...)
				rig.WarmUp(t, l)
				loses.Store(true)
				k, err := l.Lock(t.Context(), "a", time.Hour)
				require.NoError(t, err)
				require.NoError(t, k.Unlock(t.Context()))
				<-failed // both tries
				require.Equal(t, []string{"a"}, nodes[0].Keys(), "it was sent the acquire")
				nodes[0].Unreachable(false)
				time.Sleep(10 * time.Second)
				rig.RequireNoKeys(t, nodes)
			})
		})
	}
}

// owing returns a Locker without a line on three nodes, of which the first one is owed
// the release of some locks, and a hook on its client.
func owing(t *testing.T, keys ...string) (*redlock.Locker, []*rig.Node, *rig.BatchHook) {
	t.Helper()
	nodes, h := rig.New(t, 3), new(rig.BatchHook)
	nodes[0].Client.AddHook(h)
	l := rig.NewLocker(t, nodes, redlock.WithRetry(0, 0), redlock.WithoutWaitingLine())
	rig.WarmUp(t, l)
	var locks []*redlock.Lock
	for _, key := range keys {
		k, err := l.Lock(t.Context(), key, time.Hour)
		require.NoError(t, err)
		locks = append(locks, k)
	}
	synctest.Wait()
	h.Set(func([]redis.Cmder, func() error) error { return rig.ErrRefused })
	for _, k := range locks {
		require.NoError(t, k.Unlock(t.Context()))
	}
	synctest.Wait() // both tries
	require.Len(t, nodes[0].Keys(), len(keys))
	h.Set(nil)
	return l, nodes, h
}

func TestAThirdTryThatFailsLeavesTheOthersTheirs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes, h := owing(t, "a", "b", "c")
		h.FirstOnly(func() error { return io.EOF }) // one connection is lost
		time.Sleep(2 * time.Second)
		require.LessOrEqual(t, len(nodes[0].Keys()), 1, "%v", nodes[0].Keys())
		time.Sleep(time.Minute)
		rig.RequireNoKeys(t, nodes)
	})
}

func TestALeftoverDoesNotRefuseItsOwnLockerWhileAThirdTryHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, nodes, h := owing(t, "a", "b")
		hang := make(chan struct{})
		h.FirstOnly(func() error { <-hang; return io.EOF }) // one connection
		time.Sleep(2 * time.Second)
		require.Len(t, nodes[0].Keys(), 2)
		nodes[1].Unreachable(true)
		k, err := l.TryLock(t.Context(), "b", time.Minute) // needs the one that has the leftover
		if err == nil {
			_ = k.Unlock(t.Context())
		}
		close(hang)
		nodes[1].Unreachable(false)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		rig.RequireNoKeys(t, nodes)
	})
}

func TestLeftoversOfAllResourcesDoNotRefuseTheirOwnLocker(t *testing.T) {
	for _, n := range []int{2, 5, 6, 10} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var keys []string
				for i := range n {
					keys = append(keys, fmt.Sprint("k", i))
				}
				l, nodes, _ := owing(t, keys...)
				nodes[1].Unreachable(true)
				k, err := l.LockAll(t.Context(), keys, time.Minute) // needs the one that has the leftovers
				if err == nil {
					_ = k.Unlock(t.Context())
				}
				nodes[1].Unreachable(false)
				require.NoError(t, err)
			})
		})
	}
}
