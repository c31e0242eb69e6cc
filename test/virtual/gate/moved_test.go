package gate_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A movable is the name of a server, which moves to others.
type movable struct {
	servers []*rig.Node
	now     atomic.Int32
}

// client returns a client of whatever server has the name when it connects.
func (m *movable) client(t *testing.T) *redis.Client {
	t.Helper()
	o := *m.servers[0].Client.Options()
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return m.servers[m.now.Load()].Dialer(ctx, network, addr)
	}
	c := redis.NewClient(&o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// move gives the name to another server. The one that has had it lives on, and takes no
// more writes.
func (m *movable) move(to int32) {
	was := m.now.Swap(to)
	m.servers[was].SetError("READONLY You can't write against a read only replica.")
}

// An ownType is a client of the program's own type: what answers it may not know who
// listens.
type ownType struct{ *redis.Client }

func TestTheLineIsInOrderAgainSoonAfterTheNameOfItsServerHasMoved(t *testing.T) {
	rig.Long(t)
	plain := func(c *redis.Client) redlock.Client { return c }
	for name, tt := range map[string]struct {
		lockers int
		as      func(*redis.Client) redlock.Client
		soon    time.Duration
	}{
		"two Lockers":                           {2, plain, 5 * time.Second},
		"ten Lockers":                           {10, plain, 5 * time.Second},
		"ten Lockers whose clients are wrapped": {10, func(c *redis.Client) redlock.Client { return ownType{c} }, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &movable{servers: rig.New(t, 2)}
				for _, n := range m.servers {
					n.Slow(time.Millisecond)
				}
				var all []*redlock.Locker
				for range tt.lockers {
					l, err := redlock.NewSingle(tt.as(m.client(t)))
					require.NoError(t, err)
					all = append(all, l)
				}
				s := rig.StartRota(t, all, "a", 5*time.Millisecond)
				time.Sleep(time.Second)
				before, _, _ := s.Watch(t, 2*time.Second)
				m.move(1)
				time.Sleep(tt.soon)
				after, most, fewest := s.Watch(t, 2*time.Second)
				assert.LessOrEqual(t, after, 2*before)
				assert.LessOrEqual(t, most, fewest+1)
				s.End()
				time.Sleep(15 * time.Second)
				assert.Empty(t, rig.Listening(m.servers), "connections that nobody needs are closed")
				for _, l := range all {
					require.NoError(t, l.Shutdown(t.Context()))
				}
			})
		})
	}
}
