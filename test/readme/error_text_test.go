package readme_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// TestThePageOnErrorsShowsARealText makes the error of docs/errors.md: one
// node of three answers, one refuses connections, one swallows them.
func TestThePageOnErrorsShowsARealText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		node := miniredis.NewMiniRedis()
		node.ClockTTL(true)
		dials := []func() (net.Conn, error){
			node.Dial,
			func() (net.Conn, error) {
				addr := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 6379}
				return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
			},
			func() (net.Conn, error) { <-ended; return nil, net.ErrClosed },
		}
		var clients []*redis.Client
		for i, dial := range dials {
			c := redis.NewClient(&redis.Options{
				Addr:                     fmt.Sprintf("10.0.0.%d:6379", i+1),
				Dialer:                   func(context.Context, string, string) (net.Conn, error) { return dial() },
				PoolSize:                 100,
				DialerRetries:            1,
				MaxRetries:               -1,
				MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
			})
			t.Cleanup(func() { _ = c.Close() })
			clients = append(clients, c)
		}
		t.Cleanup(node.Close)
		l, err := redlock.New(clients)
		require.NoError(t, err)
		_, err = l.TryLock(t.Context(), "invoice:42", 10*time.Second)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		close(ended)
		require.NoError(t, l.Shutdown(t.Context()))

		shown := strings.Join(strings.Fields(rig.Section(t, "docs/errors.md", "What is in an error")), " ") // the page breaks the line
		assert.Contains(t, shown, err.Error())
	})
}
