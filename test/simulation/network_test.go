package simulation

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A village is a world of one node and one process, whose messages take a
// millisecond.
type village struct {
	*testing.T
	world   *world
	process *process
	client  *redis.Client
	link    *link
	node    *node
}

// inVillage has f run in one, in a bubble.
func inVillage(t *testing.T, f func(v *village)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{began: time.Now(), values: make(map[[2]string]*value)}
		w.weather = weather{near: ms, wide: ms}
		n := newNode(w, 0)
		w.nodes = []*node{n}
		w.mu.Lock()
		p := newProcess(w)
		w.mu.Unlock()
		f(&village{T: t, world: w, process: p, client: p.clients[0], link: p.links[0], node: n})
		require.NoError(t, p.locker.Shutdown(context.Background()))
		p.close()
		n.close()
	})
}

// do has f run with the world's lock held.
func (v *village) do(f func()) {
	v.world.mu.Lock()
	defer v.world.mu.Unlock()
	f()
}

func TestARequestIsAppliedAfterTheClientHasClosedItsConnection(t *testing.T) {
	inVillage(t, func(v *village) {
		conn, err := v.link.dial(v.Context())
		require.NoError(v, err)
		_, err = conn.Write([]byte("*3\r\n$3\r\nSET\r\n$1\r\nr\r\n$1\r\nv\r\n"))
		require.NoError(v, err)
		require.NoError(v, conn.Close())
		assert.False(v, v.node.redis.Exists("r"))
		time.Sleep(2 * ms)
		assert.True(v, v.node.redis.Exists("r"))
	})
}

func TestAFrozenNodeGetsToWhatItHasReceivedWhenItGoesOn(t *testing.T) {
	inVillage(t, func(v *village) {
		v.do(func() {
			v.node.freeze()
			v.world.after(sec, v.node.thaw)
		})
		begin := time.Now()
		require.NoError(v, v.client.Set(v.Context(), "r", "v", 0).Err())
		assert.Greater(v, time.Since(begin), sec)
	})
}

func TestANodeThatRestartsEmptyHasLostWhatItHad(t *testing.T) {
	for _, empty := range []bool{false, true} {
		inVillage(t, func(v *village) {
			lock, err := v.process.locker.Lock(v.Context(), "r", 10*sec)
			require.NoError(v, err)
			h := v.process.hold(lock, 10*sec, 0)
			v.do(func() {
				v.node.stop()
				v.node.start(empty)
				assert.Equal(v, empty, h.value.standing(time.Now()) == 0)
				assert.Equal(v, empty, h.value.wiped(time.Now()) == 1)
			})
			assert.Equal(v, !empty, v.node.redis.Exists("r"))
			_ = lock.Unlock(v.Context())
		})
	}
}

func TestABlackHoleGivesBackWhatItHasSwallowedOrNot(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		inVillage(t, func(v *village) {
			require.NoError(v, v.client.Ping(v.Context()).Err()) // it is connected
			v.do(func() {
				v.link.darken(keeps)
				v.world.after(sec, v.link.lighten)
			})
			begin := time.Now()
			require.NoError(v, v.client.Set(v.Context(), "r", "v", 0).Err())
			// go-redis gives a connection up that hangs after 5 s, and sends it again.
			assert.Equal(v, keeps, time.Since(begin) < 2*sec)
		})
	}
}

func TestAConnectionThatIsResetInsteadOfAReplyHasAppliedTheRequest(t *testing.T) {
	inVillage(t, func(v *village) {
		require.NoError(v, v.client.Ping(v.Context()).Err())
		v.do(func() { v.world.weather.resetAfter = 1 })
		ctx, cancel := context.WithTimeout(v.Context(), sec)
		defer cancel()
		require.Error(v, v.client.Incr(ctx, "r").Err())
		assert.True(v, v.node.redis.Exists("r"))
	})
}

func TestMessagesOnOneConnectionStayInOrder(t *testing.T) {
	inVillage(t, func(v *village) {
		v.do(func() { v.world.weather = weather{wide: sec} })
		conn, err := v.link.dial(v.Context())
		require.NoError(v, err)
		var want strings.Builder
		for _, digit := range "123456789" {
			_, err = conn.Write([]byte("*2\r\n$4\r\nECHO\r\n$1\r\n" + string(digit) + "\r\n"))
			require.NoError(v, err)
			want.WriteString("$1\r\n" + string(digit) + "\r\n")
		}
		got := make([]byte, want.Len())
		_, err = io.ReadFull(conn, got)
		require.NoError(v, err)
		assert.Equal(v, want.String(), string(got))
		require.NoError(v, conn.Close())
	})
}
