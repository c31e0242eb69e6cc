package faultproxy_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/faultproxy"
)

func TestRepliesOfEveryTypeAreOneReply(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100_000)
	for _, tt := range []struct{ name, reply string }{
		{"simple string", "+OK\r\n"},
		{"error", "-ERR no\r\n"},
		{"long error", "-ERR " + long + "\r\n"},
		{"number", ":-12\r\n"},
		{"bulk string", "$4\r\na\r\nb\r\n"},
		{"empty bulk string", "$0\r\n\r\n"},
		{"long bulk string", "$100000\r\n" + long + "\r\n"},
		{"null bulk string", "$-1\r\n"},
		{"array", "*2\r\n:1\r\n$1\r\na\r\n"},
		{"empty array", "*0\r\n"},
		{"null array", "*-1\r\n"},
		{"nested array", "*2\r\n*2\r\n*0\r\n$-1\r\n*1\r\n+a\r\n"},
		{"null", "_\r\n"},
		{"boolean", "#t\r\n"},
		{"double", ",1.5\r\n"},
		{"big number", "(12345678901234567890\r\n"},
		{"bulk error", "!5\r\nERR a\r\n"},
		{"verbatim string", "=5\r\ntxt:a\r\n"},
		{"set", "~2\r\n:1\r\n:2\r\n"},
		{"map", "%2\r\n+a\r\n*1\r\n:1\r\n+b\r\n%0\r\n"},
		{"attribute", "|1\r\n+ttl\r\n:1\r\n*1\r\n:2\r\n"},
		{"after a push message", ">2\r\n+invalidate\r\n*0\r\n+OK\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := faultproxy.New(t, serve(t, tt.reply))
			p.SetFault(on("last", faultproxy.CutAfterApply))
			w := dial(t, p)
			// The second reply shows that the first was taken as one, the end
			// that the second was.
			w.send("GET a", "GET b", "GET last")
			w.expect(tt.reply + tt.reply)
			if strings.HasPrefix(tt.reply, ">") {
				w.expect(tt.reply[:len(tt.reply)-len("+OK\r\n")])
			}
			w.expectEnd()
		})
	}
}

func TestRequestsOfEveryFormAreRead(t *testing.T) {
	t.Parallel()
	p := faultproxy.New(t, serve(t, "+OK\r\n"))
	seen := make(chan []string, 10)
	p.SetFault(func(cmd []string) faultproxy.Fault {
		seen <- cmd
		return faultproxy.Pass
	})
	w := dial(t, p)
	binary := "a\r\n*1\r\n\x00"
	_, err := io.WriteString(w.conn, "PING\r\n"+"\r\n*0\r\n"+"GET  a\n"+"*2\r\n$4\r\nECHO\r\n$8\r\n"+binary+"\r\n"+"*2\r\n$3\r\nGET\r\n$0\r\n\r\n")
	require.NoError(t, err)
	w.expect(strings.Repeat("+OK\r\n", 4))
	for _, want := range [][]string{{"PING"}, {"GET", "a"}, {"ECHO", binary}, {"GET", ""}} {
		require.Equal(t, want, <-seen)
	}
}

func TestConnectionsThatDoNotSpeakRESPAreCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, request, reply string }{
		{"bad request length", "*x\r\n", "+OK\r\n"},
		{"request too long", "*99999999\r\n", "+OK\r\n"},
		{"request of numbers", "*1\r\n:1\r\n", "+OK\r\n"},
		{"null in a request", "*1\r\n$-1\r\n", "+OK\r\n"},
		{"unknown type of reply", "PING\r\n", "?\r\n"},
		{"bad reply length", "PING\r\n", "$x\r\n"},
		{"reply nested too deep", "PING\r\n", strings.Repeat("*1\r\n", 100) + ":1\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := dial(t, faultproxy.New(t, serve(t, tt.reply)))
			_, err := io.WriteString(w.conn, tt.request)
			require.NoError(t, err)
			w.expectEnd()
		})
	}
}

// serve runs a server that answers each bulk or inline request with reply.
func serve(t *testing.T, reply string) string {
	t.Helper()
	return serveOnce(t, func(conn net.Conn) {
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			// One of these words comes once in each request of these tests.
			if w := lines.Text(); !strings.HasPrefix(w, "GET") && w != "PING" && w != "ECHO" {
				continue
			}
			if _, err := io.WriteString(conn, reply); err != nil {
				return
			}
		}
	})
}

// serveOnce runs a server that leaves its first connection to f and closes it when
// f returns.
func serveOnce(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		f(conn)
	}()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		<-ended
	})
	return l.Addr().String()
}
