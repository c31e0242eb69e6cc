package servers_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/servers"
)

func TestServerDiesWithItsTestBinary(t *testing.T) {
	if os.Getenv(envOrphan) != "" {
		fmt.Println("addr", servers.StartOne(t).Addr())
		select {} // until it is killed
	}
	t.Parallel()
	servers.StartOne(t) // skips here, where it is seen, if there is no server

	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServerDiesWithItsTestBinary$") //nolint:gosec // itself
	cmd.Env = append(os.Environ(), envOrphan+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var addr string
	for lines := bufio.NewScanner(out); addr == "" && lines.Scan(); {
		if a, ok := strings.CutPrefix(lines.Text(), "addr "); ok {
			addr = a
		}
	}
	require.NotEmpty(t, addr)
	require.True(t, listens(t, addr))

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool { return !listens(t, addr) }, patience, interval)
}

func TestServerOutlivesTheThreadThatAskedForIt(t *testing.T) {
	t.Parallel()
	s := servers.StartOne(t)
	for {
		thread := make(chan int)
		go func() {
			runtime.LockOSThread() // and no unlock: the thread ends with its goroutine
			s.Restart()
			thread <- syscall.Gettid()
		}()
		id := <-thread
		if id == os.Getpid() {
			continue // the main thread never ends; parked now, it can't be chosen again
		}
		require.Eventually(t, func() bool {
			_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", id))
			return os.IsNotExist(err)
		}, patience, interval)
		break
	}
	require.NoError(t, s.Client(t).Ping(t.Context()).Err())
}
