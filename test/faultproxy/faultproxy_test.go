package faultproxy_test

import (
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/b0401464/redlock/test/faultproxy"
	"github.com/b0401464/redlock/test/servers"
)

func TestProxyWithoutFaultsChangesNothing(t *testing.T) {
	t.Parallel()
	p, _, _ := setup(t)
	var wg sync.WaitGroup
	for i := range 4 {
		c := proxied(t, p)
		wg.Go(func() {
			for j := range 50 {
				key, value := "k"+strconv.Itoa(i), strconv.Itoa(j)
				pipe := c.Pipeline()
				pipe.Set(t.Context(), key, value, 0)
				got := pipe.Get(t.Context(), key)
				pipe.HSet(t.Context(), "h"+key, "f", value)
				all := pipe.HGetAll(t.Context(), "h"+key)
				if _, err := pipe.Exec(t.Context()); err != nil || got.Val() != value || all.Val()["f"] != value {
					t.Errorf("round %d: %v, %v, %v", j, err, got, all)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestBlackHoleForwardsInOrderWhenItEnds(t *testing.T) {
	t.Parallel()
	p, _, direct := setup(t)
	old := dial(t, p)
	old.send("PING")
	old.expect("+PONG\r\n")

	p.BlackHole(true)
	fresh, gone := dial(t, p), dial(t, p)
	old.send("SET a 1", "SET a 2", "GET a")
	fresh.send("SET b 1")
	gone.send("SET c 1")
	gone.close()
	require.Eventually(t, func() bool { return p.Requests() >= 2 }, patience, interval)
	old.expectSilence()
	fresh.expectSilence()
	for _, key := range []string{"a", "b", "c"} {
		absent(t, direct, key)
	}

	p.BlackHole(false)
	old.expect("+OK\r\n+OK\r\n$1\r\n2\r\n")
	fresh.expect("+OK\r\n")
	applied(t, direct, "c")
}

func TestBlackHoleHoldsRepliesAndTheEndOfConnectionsToo(t *testing.T) {
	t.Parallel()
	shut := make(chan func(), 1)
	p := faultproxy.New(t, serveOnce(t, func(conn net.Conn) {
		_, err := conn.Read(make([]byte, 64)) // the request has arrived
		assert.NoError(t, err)
		(<-shut)()
		_, err = io.WriteString(conn, "+OK\r\n")
		assert.NoError(t, err)
	}))
	shut <- func() { p.BlackHole(true) }
	w := dial(t, p)
	w.send("PING")
	w.expectSilence()
	p.BlackHole(false)
	w.expect("+OK\r\n")
	w.expectEnd()
}

func TestCutClosesOpenConnectionsOnly(t *testing.T) {
	t.Parallel()
	p, _, _ := setup(t)
	a, b := dial(t, p), dial(t, p)
	for _, w := range []*wire{a, b} {
		w.send("PING")
		w.expect("+PONG\r\n")
	}
	p.Cut()
	a.expectEnd()
	b.expectEnd()
	c := dial(t, p)
	c.send("PING")
	c.expect("+PONG\r\n")
}

func TestCutEndsSilentAndFrozenConnectionsToo(t *testing.T) {
	t.Parallel()
	p, s, direct := setup(t)
	p.SetFault(on("a", faultproxy.DropReply))
	silent, waiting := dial(t, p), dial(t, p)
	silent.send("SET a 1")
	applied(t, direct, "a")
	s.Freeze()
	waiting.send("PING")
	require.Eventually(t, func() bool { return p.Requests() == 2 }, patience, interval)
	p.BlackHole(true)
	p.Cut()
	silent.expectEnd()
	waiting.expectEnd()
}

func TestRefusedDialsFailUntilItEnds(t *testing.T) {
	t.Parallel()
	p, _, _ := setup(t)
	w := dial(t, p)
	w.send("PING")
	w.expect("+PONG\r\n")
	addr := p.Addr()
	for range 3 {
		p.Refuse(true)
		p.Refuse(true) // has nothing left to do
		refused(t, addr)
		w.send("PING")
		w.expect("+PONG\r\n")

		p.Refuse(false)
		p.Refuse(false)
		require.Equal(t, addr, p.Addr())
		again := dial(t, p)
		again.send("PING")
		again.expect("+PONG\r\n")
	}
}

func TestClientsOfADeadServerAreCutOff(t *testing.T) {
	t.Parallel()
	p, s, _ := setup(t)
	w := dial(t, p)
	w.send("PING")
	w.expect("+PONG\r\n")
	s.Kill()
	w.expectEnd()
	dial(t, p).expectEnd()
	s.Restart()
	w = dial(t, p)
	w.send("PING")
	w.expect("+PONG\r\n")
}

func TestForwardedRequestIsAppliedThoughItsClientIsGone(t *testing.T) {
	t.Parallel()
	p, s, direct := setup(t)
	w := dial(t, p)
	w.send("PING")
	w.expect("+PONG\r\n")
	s.Freeze()
	w.send("PING", "SET a 1")
	require.Eventually(t, func() bool { return p.Requests() == 3 }, patience, interval)
	w.close()
	s.Thaw()
	applied(t, direct, "a")
}

func TestClientTimesOutOnASilentConnectionAndRecovers(t *testing.T) {
	t.Parallel()
	p, _, direct := setup(t)
	p.SetFault(faultproxy.OnlyLocks(func([]string) faultproxy.Fault { return faultproxy.DropReply }))
	c := redis.NewClient(&redis.Options{Addr: p.Addr(), MaxRetries: -1, ReadTimeout: never})
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	require.Eventually(t, func() bool { return c.Ping(t.Context()).Err() == nil }, patience, interval)
	require.Error(t, c.Eval(t.Context(), `return redis.call("SET", KEYS[1], "1")`, []string{"a"}).Err())
	applied(t, direct, "a")
	require.Eventually(t, func() bool { return c.Ping(t.Context()).Err() == nil }, patience, interval)
}

// It is not parallel, so that no other test starts goroutines meanwhile.
func TestNothingIsLeftBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	var addr string
	t.Run("proxy", func(t *testing.T) {
		s := servers.StartOne(t)
		p := faultproxy.New(t, s.Addr())
		addr = p.Addr()
		faults := map[string]faultproxy.Fault{
			"drop": faultproxy.DropReply, "after": faultproxy.CutAfterApply, "before": faultproxy.CutBeforeApply,
			"hold": faultproxy.Hold(make(chan struct{})), "delay": faultproxy.Delay(time.Hour),
		}
		p.SetFault(func(cmd []string) faultproxy.Fault { return faults[cmd[1]] })
		for key := range faults {
			dial(t, p).send("SET " + key + " 1")
		}
		require.Eventually(t, func() bool { return p.Requests() == len(faults) }, patience, interval)
		s.Freeze()
		dial(t, p).send("SET frozen 1")
		require.Eventually(t, func() bool { return p.Requests() == len(faults)+1 }, patience, interval)
		p.BlackHole(true)
		dial(t, p).send("SET shut 1")
	})
	goleak.VerifyNone(t, before)
	refused(t, addr)
}
