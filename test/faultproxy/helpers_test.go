package faultproxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/b0401464/redlock/test/faultproxy"
	"github.com/b0401464/redlock/test/servers"
)

const (
	patience = 30 * time.Second
	interval = 5 * time.Millisecond
	never    = 60 * time.Millisecond // how long to watch that nothing happens
)

func TestMain(m *testing.M) {
	servers.Silence()
	goleak.VerifyTestMain(m)
}

// setup starts a server behind a proxy. The client goes straight to the server
// and shows what was applied there.
func setup(t *testing.T) (*faultproxy.Proxy, *servers.Server, *redis.Client) {
	t.Helper()
	s := servers.StartOne(t)
	return faultproxy.New(t, s.Addr()), s, s.Client(t)
}

// proxied returns a go-redis client of p with no retries.
func proxied(t *testing.T, p *faultproxy.Proxy) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: p.Addr(), MaxRetries: -1, ReadTimeout: patience})
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// A wire is a connection without a client library in the way.
type wire struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func dial(t *testing.T, p *faultproxy.Proxy) *wire {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", p.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &wire{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// send writes requests, all at once.
func (w *wire) send(requests ...string) {
	w.t.Helper()
	var b strings.Builder
	for _, r := range requests {
		args := strings.Fields(r)
		fmt.Fprintf(&b, "*%d\r\n", len(args))
		for _, a := range args {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
		}
	}
	_, err := io.WriteString(w.conn, b.String())
	require.NoError(w.t, err)
}

// expect reads exactly these replies.
func (w *wire) expect(replies string) {
	w.t.Helper()
	require.NoError(w.t, w.conn.SetReadDeadline(time.Now().Add(patience)))
	got := make([]byte, len(replies))
	n, err := io.ReadFull(w.r, got)
	require.NoError(w.t, err, "after %q", got[:n])
	require.Equal(w.t, replies, string(got))
}

// expectEnd requires that nothing comes but the end of the connection.
func (w *wire) expectEnd() {
	w.t.Helper()
	require.NoError(w.t, w.conn.SetReadDeadline(time.Now().Add(patience)))
	b, err := w.r.ReadByte()
	require.Error(w.t, err, "got %q", b)
	require.NotErrorIs(w.t, err, os.ErrDeadlineExceeded)
}

// expectSilence requires that the connection is open and nothing comes.
func (w *wire) expectSilence() {
	w.t.Helper()
	require.NoError(w.t, w.conn.SetReadDeadline(time.Now().Add(never)))
	b, err := w.r.ReadByte()
	require.ErrorIs(w.t, err, os.ErrDeadlineExceeded, "got %q", b)
}

// refused requires that nobody listens on addr. Another test's server may have the
// port for a moment, and a dial from the very port that it dials meets itself.
func refused(t *testing.T, addr string) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, patience, interval)
}

func (w *wire) close() {
	w.t.Helper()
	require.NoError(w.t, w.conn.Close())
}

// on returns a hook with a fault for the requests that have word in them.
func on(word string, f faultproxy.Fault) func([]string) faultproxy.Fault {
	return func(cmd []string) faultproxy.Fault {
		if slices.Contains(cmd, word) {
			return f
		}
		return faultproxy.Pass
	}
}

// applied waits until a request has set key to 1.
func applied(t *testing.T, c *redis.Client, key string) {
	t.Helper()
	require.Eventually(t, func() bool { return c.Get(t.Context(), key).Val() == "1" }, patience, interval)
}

// absent requires that no request set key.
func absent(t *testing.T, c *redis.Client, key string) {
	t.Helper()
	n, err := c.Exists(t.Context(), key).Result()
	require.NoError(t, err)
	require.Zero(t, n)
}
