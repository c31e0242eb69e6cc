//go:build linux

package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/b0401464/redlock/cmd/redlock/internal/cli"
	"github.com/b0401464/redlock/test/servers"
)

// asTool has the test binary be the command, and asHelper a program that the command runs.
const (
	asTool   = "REDLOCK_TEST_AS_TOOL"
	asHelper = "helper"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == asHelper {
		helper(os.Args[2], os.Args[3:])
	}
	if os.Getenv(asTool) != "" {
		os.Exit(cli.Main(os.Args[1:]))
	}
	servers.Silence()
	os.Exit(m.Run())
}

// rounds returns how often something is done: less often unless REDLOCK_LONG is set.
func rounds(few, many int) int {
	if os.Getenv("REDLOCK_LONG") == "" {
		return few
	}
	return many
}

// soon is for what happens at once on a machine that has nothing else to do.
const soon = 20 * time.Second

// self is the test binary, to be used as a command.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	return path
}

// A world is some nodes and the environment of those that use them.
type world struct {
	t       *testing.T
	servers []*servers.Server
	clients []*redis.Client
	urls    []string
	env     []string
	dir     string
}

// newWorld starts n nodes.
func newWorld(t *testing.T, n int) *world {
	t.Helper()
	return newWorldOf(t, servers.Start(t, n))
}

func newWorldOf(t *testing.T, nodes []*servers.Server) *world {
	t.Helper()
	w := &world{t: t, servers: nodes, dir: t.TempDir()}
	for _, s := range w.servers {
		w.clients = append(w.clients, s.Client(t))
		w.urls = append(w.urls, "redis://"+s.Addr())
	}
	w.env = []string{"REDLOCK_NODES=" + strings.Join(w.urls, ",")}
	return w
}

// file returns the path of a file of the world.
func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

// read returns what is in a file, or nothing if there is none.
func (w *world) read(name string) string {
	text, err := os.ReadFile(w.file(name))
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(w.t, err)
	}
	return string(text)
}

// keys returns the keys of all nodes, but for counters of tokens.
func (w *world) keys() []string {
	var keys []string
	for i, c := range w.clients {
		list, err := c.Keys(w.t.Context(), "*").Result()
		require.NoError(w.t, err)
		for _, key := range list {
			if !strings.HasSuffix(key, ":redlock:token") {
				keys = append(keys, fmt.Sprintf("%s on node %d", key, i+1))
			}
		}
	}
	return keys
}

// requireFree waits until nothing is left on the nodes.
func (w *world) requireFree() {
	w.t.Helper()
	var keys []string
	eventually(w.t, func() bool {
		keys = w.keys()
		return len(keys) == 0
	}, "something is left on the nodes")
}

// requireHeld waits until a majority of the nodes has a key.
func (w *world) requireHeld(key string) {
	w.t.Helper()
	eventually(w.t, func() bool {
		n := 0
		for _, c := range w.clients {
			if got, err := c.Exists(w.t.Context(), key).Result(); err == nil && got == 1 {
				n++
			}
		}
		return n > len(w.clients)/2
	}, "%s is not held", key)
}

// waiters returns how many stand in the line of a key.
func (w *world) waiters(key string) int {
	most := 0
	for _, c := range w.clients {
		n, err := c.ZCard(w.t.Context(), "{"+key+"}:redlock:line").Result()
		require.NoError(w.t, err)
		most = max(most, int(n))
	}
	return most
}

// A tool is one run of the command.
type tool struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    buffer
	err    buffer
	done   chan struct{}
	status syscall.WaitStatus
}

// A buffer may be read while a process writes to it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// command returns the tool as a command that has not started.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.WithoutCancel(w.t.Context()), self(w.t), args...) //nolint:gosec // the test's own
	cmd.Env = append(append(os.Environ(), asTool+"=1"), w.env...)
	return cmd
}

// start starts the tool, in a process group of its own, as a shell does.
func (w *world) start(args ...string) *tool {
	w.t.Helper()
	return w.startCmd(w.command(args...))
}

func (w *world) startCmd(cmd *exec.Cmd) *tool {
	w.t.Helper()
	p := &tool{t: w.t, cmd: cmd, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout, cmd.Stderr = &p.out, &p.err
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	cmd.WaitDelay = soon
	require.NoError(w.t, cmd.Start())
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // the state says it all
		p.status = cmd.ProcessState.Sys().(syscall.WaitStatus)
	}()
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.done
	})
	return p
}

// run runs the tool to its end.
func (w *world) run(args ...string) *tool {
	w.t.Helper()
	p := w.start(args...)
	p.wait()
	return p
}

// wait waits for the end and returns the exit code as a shell has it.
func (p *tool) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(3 * soon):
		require.Fail(p.t, "it does not end", "%v\n%s", p.cmd.Args, p.err.String())
	}
	return p.code()
}

func (p *tool) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *tool) code() int {
	if p.status.Signaled() {
		return 128 + int(p.status.Signal())
	}
	return p.status.ExitStatus()
}

func (p *tool) signal(s syscall.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// keeper returns the process that holds the lock.
func (p *tool) keeper() int {
	p.t.Helper()
	var pid int
	eventually(p.t, func() bool {
		pid = 0
		for _, c := range children(p.cmd.Process.Pid) {
			pid = c
		}
		return pid != 0
	}, "there is no keeper")
	return pid
}

// children returns the processes that a process has started.
func children(pid int) []int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) // only the main thread's; see below
	list := strings.Fields(string(text))
	if tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)); err == nil {
		list = nil
		for _, task := range tasks {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
			list = append(list, strings.Fields(string(text))...)
		}
	}
	var pids []int
	for _, s := range list {
		if n, err := strconv.Atoi(s); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}

// eventually waits until something is so.
func eventually(t *testing.T, so func() bool, format string, args ...any) {
	t.Helper()
	for deadline := time.Now().Add(soon); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			require.Fail(t, fmt.Sprintf(format, args...))
		}
	}
}

// now returns the time by a clock that all processes share.
func now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

// unique returns how long a sleep is to last that no other process is in.
func unique() string { return fmt.Sprintf("600.%d%06d", sleeps.Add(1), os.Getpid()) }

var sleeps atomic.Int32

// running reports whether there is a process with an argument.
func running(t *testing.T, arg string) bool {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, f := range files {
		if line, err := os.ReadFile(f); err == nil && bytes.Contains(append(line, 0), []byte("\x00"+arg+"\x00")) { //nolint:gosec // of the kernel
			return true
		}
	}
	return false
}

// goFile is what a helper awaits.
const goFile = "go"

// letGo lets it go.
func (w *world) letGo() {
	w.t.Helper()
	require.NoError(w.t, os.WriteFile(w.file(goFile), nil, 0o600))
}
