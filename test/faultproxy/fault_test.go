package faultproxy_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/faultproxy"
)

func TestHookSeesEveryRequestInOrder(t *testing.T) {
	t.Parallel()
	p, _, _ := setup(t)
	names := make(chan string, 10)
	p.SetFault(func(cmd []string) faultproxy.Fault {
		names <- cmd[0]
		return faultproxy.Pass
	})
	w := dial(t, p)
	w.send("PING", "SET a 1", "GET a")
	w.expect("+PONG\r\n+OK\r\n$1\r\n1\r\n")
	for _, want := range []string{"PING", "SET", "GET"} {
		require.Equal(t, want, <-names)
	}
	require.Equal(t, 3, p.Requests())

	p.SetFault(nil)
	require.NoError(t, proxied(t, p).Ping(t.Context()).Err())
	require.Empty(t, names)
	require.Greater(t, p.Requests(), 4, "the handshake counts too")
}

func TestDelayHoldsUpOnlyItsOwnConnection(t *testing.T) {
	t.Parallel()
	p, _, direct := setup(t)
	p.SetFault(on("slow", faultproxy.Delay(time.Hour)))
	slow, fast := dial(t, p), dial(t, p)
	slow.send("SET slow 1", "SET next 1")
	applied(t, direct, "next") // both are applied at once
	fast.send("PING")
	fast.expect("+PONG\r\n")
	slow.expectSilence()
}

func TestDelayedRepliesStayInOrder(t *testing.T) {
	t.Parallel()
	p, _, _ := setup(t)
	p.SetFault(on("slow", faultproxy.Delay(never)))
	w := dial(t, p)
	start := time.Now()
	w.send("PING", "ECHO slow", "ECHO fast")
	w.expect("+PONG\r\n$4\r\nslow\r\n$4\r\nfast\r\n")
	require.GreaterOrEqual(t, time.Since(start), never)
}

func TestLatencyIsNotAddedUpInAPipeline(t *testing.T) {
	t.Parallel()
	p, _, _ := setup(t)
	const latency = 200 * time.Millisecond
	w := dial(t, p)
	w.send("PING")
	w.expect("+PONG\r\n")
	p.Latency(latency)
	start := time.Now()
	const requests = 400
	for range requests {
		w.send("PING")
	}
	for range requests {
		w.expect("+PONG\r\n")
	}
	took := time.Since(start)
	require.GreaterOrEqual(t, took, latency)
	require.Less(t, took, requests/2*latency)
}

func TestDroppedReplySilencesTheConnection(t *testing.T) {
	t.Parallel()
	p, s, direct := setup(t)
	p.SetFault(on("a", faultproxy.DropReply))
	w := dial(t, p)
	w.send("PING", "SET a 1", "SET b 1")
	w.expect("+PONG\r\n")
	applied(t, direct, "a")
	w.send("SET c 1")
	w.expectSilence()
	absent(t, direct, "b")
	absent(t, direct, "c")

	other := dial(t, p)
	other.send("PING")
	other.expect("+PONG\r\n")

	s.Kill()
	other.expectEnd()
	w.expectSilence()
}

func TestConnectionIsCutAfterItsRequestIsApplied(t *testing.T) {
	t.Parallel()
	p, _, direct := setup(t)
	p.SetFault(on("a", faultproxy.CutAfterApply))
	w := dial(t, p)
	w.send("PING", "SET a 1")
	w.expect("+PONG\r\n")
	w.expectEnd()
	require.Equal(t, "1", direct.Get(t.Context(), "a").Val())
}

func TestConnectionIsCutBeforeItsRequestIsApplied(t *testing.T) {
	t.Parallel()
	p, _, direct := setup(t)
	p.SetFault(on("a", faultproxy.CutBeforeApply))
	for _, requests := range [][]string{{"SET a 1"}, {"PING", "SET a 1"}} {
		w := dial(t, p)
		w.send(requests...)
		if len(requests) > 1 {
			w.expect("+PONG\r\n")
		}
		w.expectEnd()
		absent(t, direct, "a")
	}
}

func TestHeldRequestIsAppliedLateWithoutItsConnection(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(w *wire, p *faultproxy.Proxy)
	}{
		{"client still there", func(*wire, *faultproxy.Proxy) {}},
		{"client gone", func(w *wire, _ *faultproxy.Proxy) { w.close() }},
		{"connection cut", func(_ *wire, p *faultproxy.Proxy) { p.Cut() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, _, direct := setup(t)
			release := make(chan struct{})
			p.SetFault(on("stale", faultproxy.Hold(release)))
			w := dial(t, p)
			w.send("PING", "SET a stale", "SET b 1")
			w.expect("+PONG\r\n")
			w.expectSilence()
			tt.end(w, p)

			fresh := dial(t, p)
			fresh.send("SET a fresh")
			fresh.expect("+OK\r\n")
			require.Equal(t, "fresh", direct.Get(t.Context(), "a").Val())
			require.Empty(t, p.LateReplies())

			close(release)
			require.Eventually(t, func() bool { return len(p.LateReplies()) == 1 }, patience, interval)
			require.Equal(t, []string{"+OK\r\n"}, p.LateReplies())
			require.Equal(t, "stale", direct.Get(t.Context(), "a").Val())
			absent(t, direct, "b")
		})
	}
}

func TestHeldRequestKeepsItsSessionAcrossARestart(t *testing.T) {
	t.Parallel()
	p, s, _ := setup(t)
	release := make(chan struct{})
	p.SetFault(on("stale", faultproxy.Hold(release)))
	w := dial(t, p)
	w.send("SELECT 3", "SET a stale")
	w.expect("+OK\r\n")
	w.expectSilence()
	s.Restart()
	w.expectSilence()
	close(release)
	require.Eventually(t, func() bool { return len(p.LateReplies()) == 1 }, patience, interval)
	require.Equal(t, []string{"+OK\r\n"}, p.LateReplies())
	db3 := s.Client(t, func(o *redis.Options) { o.DB = 3 })
	require.Equal(t, "stale", db3.Get(t.Context(), "a").Val())
}

func TestHeldRequestIsLostWithoutAServer(t *testing.T) {
	t.Parallel()
	p, s, _ := setup(t)
	release := make(chan struct{})
	p.SetFault(on("stale", faultproxy.Hold(release)))
	w := dial(t, p)
	w.send("SET a stale")
	w.expectSilence()
	s.Kill()
	close(release)
	require.Never(t, func() bool { return len(p.LateReplies()) > 0 }, never, interval)
}

func TestOnlyLocksLeavesOtherRequestsAlone(t *testing.T) {
	t.Parallel()
	p, _, direct := setup(t)
	p.SetFault(faultproxy.OnlyLocks(func(cmd []string) faultproxy.Fault {
		assert.Contains(t, []string{"evalsha", "eval"}, cmd[0])
		if cmd[0] == "eval" {
			return faultproxy.CutAfterApply
		}
		return faultproxy.Pass
	}))
	c := proxied(t, p)
	require.NoError(t, c.Set(t.Context(), "a", "1", 0).Err())
	// EVALSHA is answered NOSCRIPT, so EVAL follows and is cut.
	require.Error(t, redis.NewScript(`return redis.call("INCR", KEYS[1])`).Run(t.Context(), c, []string{"a"}).Err())
	require.Equal(t, "2", direct.Get(t.Context(), "a").Val())
	require.NoError(t, c.Ping(t.Context()).Err())
}

func TestHookMayUseTheProxy(t *testing.T) {
	t.Parallel()
	p, _, direct := setup(t)
	asked := make(chan struct{}, 1)
	p.SetFault(func(cmd []string) faultproxy.Fault {
		if cmd[0] == "SET" {
			p.SetFault(nil)
			p.BlackHole(true)
			asked <- struct{}{}
		}
		return faultproxy.Pass
	})
	w := dial(t, p)
	w.send("SET a 1")
	<-asked
	w.expectSilence()
	absent(t, direct, "a")
	p.BlackHole(false)
	w.expect("+OK\r\n")
}
