package errors_test

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// panickyCluster answers as a Cluster of one server, and to scripts with more than can
// be allocated.
func panickyCluster(t *testing.T) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	host, port, _ := net.SplitHostPort(ln.Addr().String())
	serve := func(c net.Conn) {
		defer func() { _ = c.Close() }()
		r := bufio.NewReader(c)
		line := func() string { s, _ := r.ReadString('\n'); return strings.TrimSpace(s) }
		for {
			head := line()
			if !strings.HasPrefix(head, "*") {
				return
			}
			n, _ := strconv.Atoi(head[1:])
			var args []string
			for range n {
				line()
				args = append(args, line())
			}
			switch strings.ToLower(args[0]) {
			case "cluster":
				_, _ = fmt.Fprintf(c, "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$%d\r\n%s\r\n:%s\r\n$4\r\nabcd\r\n", len(host), host, port)
			case "evalsha", "eval":
				time.Sleep(5 * time.Millisecond)
				_, _ = fmt.Fprint(c, "*4611686018427387904\r\n")
			case "command":
				_, _ = fmt.Fprint(c, "*0\r\n")
			default:
				_, _ = fmt.Fprint(c, "-ERR unknown command\r\n")
			}
		}
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return ln.Addr().String()
}

func clusterThatPanics(t *testing.T, opts ...redlock.Option) {
	t.Helper()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{panickyCluster(t)}})
	t.Cleanup(func() { _ = client.Close() })
	l, err := redlock.New([]*redis.ClusterClient{client}, append(opts, redlock.WithRetry(0, 0))...)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			_, err := l.TryLock(t.Context(), fmt.Sprint("{a}", i), 10*time.Second)
			if i == 0 {
				t.Log(err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, l.Shutdown(t.Context()))
}

func TestAReplyThatMakesAClusterClientPanicIsAFailureOnly(t *testing.T) {
	t.Parallel()
	clusterThatPanics(t)
}

func TestAReplyThatMakesAClusterClientPanicIsAFailureOnlyInBatches(t *testing.T) {
	t.Parallel()
	clusterThatPanics(t, redlock.WithAutoPipeline())
}
