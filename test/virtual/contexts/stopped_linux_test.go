package contexts_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

const envStopped = "REDLOCK_TEST_STOPPED"

// stops is how often a holder is stopped beyond the validity of its lock.
const stops = 5

// stoppedTTL is the TTL of its locks.
const stoppedTTL = 400 * time.Millisecond

// lookOften is the holder: for each lock it tells until when it is valid, then looks at
// its context over and over, and tells what the first look after that moment has seen.
func lookOften(t *testing.T) {
	t.Helper()
	l, err := redlock.New([]redlock.Client{willing{}})
	require.NoError(t, err)
	for {
		k, err := l.Lock(t.Context(), "a", stoppedTTL)
		require.NoError(t, err)
		held, cancel := k.Context(t.Context())
		until := k.Until()
		fmt.Println("until", until.UnixNano())
		for last := time.Now(); ; {
			now := time.Now()
			err := held.Err()
			if err == nil && now.After(until) {
				fmt.Println("saw that it may write", now.Sub(until), "after the validity")
				break
			}
			if err != nil {
				fmt.Println("saw the end, closed:", isDone(held), "lost:", errors.Is(context.Cause(held), redlock.ErrLockLost),
					"after a stop:", now.Sub(last) > stoppedTTL/2)
				break
			}
			last = now
		}
		cancel()
	}
}

func TestAStoppedProcessSeesTheEndOfItsLockAtItsFirstLook(t *testing.T) {
	if os.Getenv(envStopped) != "" {
		lookOften(t)
	}
	t.Parallel()
	runtime.LockOSThread() // the kernel kills the child when the thread that started it ends
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$") //nolint:gosec // itself
	cmd.Env = append(os.Environ(), envStopped+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	lines := bufio.NewScanner(out)
	next := func() string {
		require.True(t, lines.Scan(), "the child has ended")
		return lines.Text()
	}
	deadline := time.Now().Add(rig.Patience)
	for stopped := 0; stopped < stops; {
		require.True(t, time.Now().Before(deadline), "the child was stopped in time %d times only", stopped)
		text, found := strings.CutPrefix(next(), "until ")
		require.True(t, found)
		nanos, err := strconv.ParseInt(text, 10, 64)
		require.NoError(t, err)
		require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
		require.True(t, rig.Poll(rig.Patience, func() bool { return time.Now().After(time.Unix(0, nanos)) }))
		require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
		switch saw := next(); saw {
		case "saw the end, closed: true lost: true after a stop: true":
			stopped++
		case "saw the end, closed: true lost: true after a stop: false": // it was stopped too late
		default:
			t.Fatalf("the first look %s", saw)
		}
	}
}
