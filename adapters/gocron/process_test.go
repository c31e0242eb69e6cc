package gocronlock_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"
	"github.com/jonboulle/clockwork"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	gocronlock "github.com/b0401464/redlock/adapters/gocron"
	"github.com/b0401464/redlock/test/servers"
)

const (
	envRole  = "REDLOCK_GOCRON_ROLE"
	envAhead = "REDLOCK_GOCRON_AHEAD"

	patience = 60 * time.Second // for what must come; a busy machine is slow
	poll     = 10 * time.Millisecond
	ticks    = 8 // to look at, before and after a process is killed
	leading  = 2 * time.Second
)

// host is a process that runs a job once a second, and prints which second that is by
// its own clock. It ends with its input.
func host(role string, addrs []string) error {
	clients := make([]*redis.Client, len(addrs))
	for i, addr := range addrs {
		clients[i] = redis.NewClient(&redis.Options{Addr: addr})
	}
	locker, err := redlock.New(clients)
	if err != nil {
		return err
	}
	ahead, err := time.ParseDuration(os.Getenv(envAhead))
	if err != nil {
		return err
	}
	clock := shifted{clockwork.NewRealClock(), ahead}
	options := []gocron.SchedulerOption{gocron.WithClock(clock)}
	var guard func(func(context.Context) error) func(context.Context) error
	switch role {
	case "locker":
		jobs, err := gocronlock.NewLocker(locker, time.Second)
		if err != nil {
			return err
		}
		guard, options = jobs.Guard, append(options, gocron.WithDistributedLocker(jobs))
	case "elector":
		elector, err := gocronlock.NewElector(locker, "leader", leading)
		if err != nil {
			return err
		}
		guard, options = elector.Guard, append(options, gocron.WithDistributedElector(elector))
	}
	s, err := gocron.NewScheduler(options...)
	if err != nil {
		return err
	}
	_, err = s.NewJob(everySecond(), gocron.NewTask(guard(func(ctx context.Context) error {
		fmt.Println("ran", clock.Now().Unix())
		select {
		case <-time.After(100 * time.Millisecond): // so that it can be killed in the middle
		case <-ctx.Done():
		}
		return nil
	})), gocron.WithName("job"), gocron.WithEventListeners(
		gocron.AfterLockError(func(_ uuid.UUID, _ string, err error) {
			if !errors.Is(err, redlock.ErrContended) {
				fmt.Fprintln(os.Stderr, err)
			}
		}),
	))
	if err != nil {
		return err
	}
	s.Start()
	fmt.Println("ready", 0)
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // until the test closes it
	return s.Shutdown()
}

// A world has two hosts on three servers, and what they have told.
type world struct {
	t     *testing.T
	hosts [2]*exec.Cmd

	mu    sync.Mutex
	runs  map[int64][]int // the hosts that ran the tick of a second
	all   int
	ready int
}

func startHosts(t *testing.T, role string) *world {
	t.Helper()
	var addrs []string
	for _, s := range servers.Start(t, 3) {
		addrs = append(addrs, s.Addr())
	}
	w := &world{t: t, runs: make(map[int64][]int)}
	for i, ahead := range []string{"0s", "-50ms"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], addrs...) //nolint:gosec // itself
		cmd.Env = append(os.Environ(), envRole+"="+role, envAhead+"="+ahead, "GORACE=atexit_sleep_ms=0")
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		w.hosts[i] = cmd
		done := make(chan struct{})
		go func() {
			defer close(done)
			for lines := bufio.NewScanner(out); lines.Scan(); {
				w.hear(i, lines.Text())
			}
		}()
		t.Cleanup(func() {
			_ = in.Close()
			<-done
			_ = cmd.Wait()
		})
	}
	require.Eventually(t, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.ready == 2 }, patience, poll)
	return w
}

func (w *world) hear(host int, line string) {
	var what string
	var second int64
	_, _ = fmt.Sscan(line, &what, &second)
	w.mu.Lock()
	defer w.mu.Unlock()
	if what == "ready" {
		w.ready++
		return
	}
	w.all++
	w.runs[second] = append(w.runs[second], host)
}

// last returns the last tick that was run, by which host, and how many there were.
func (w *world) last() (second int64, host, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s, by := range w.runs {
		if s >= second {
			second, host = s, by[0]
		}
	}
	return second, host, len(w.runs)
}

// await waits until n more ticks were run.
func (w *world) await(n int) {
	w.t.Helper()
	_, _, before := w.last()
	require.Eventually(w.t, func() bool { _, _, now := w.last(); return now >= before+n },
		patience+2*time.Duration(n)*time.Second, poll)
}

// kill ends the host that ran the last tick, while its job runs, and returns that tick.
func (w *world) kill() (second int64) {
	w.t.Helper()
	w.await(1)
	second, host, _ := w.last()
	require.NoError(w.t, w.hosts[host].Process.Kill())
	return second
}

// requireOnce requires that no tick was run twice, and tells how many were missed.
func (w *world) requireOnce(killed int64) {
	w.t.Helper()
	last, _, n := w.last()
	w.mu.Lock()
	defer w.mu.Unlock()
	first, next := last, last
	for second := range w.runs {
		first = min(first, second)
		if second > killed {
			next = min(next, second)
		}
	}
	doubles, missed := w.all-n, int(last-first+1)-n
	w.t.Logf("%d ticks, %d missed; %d s from the last one of the killed process to the next one", last-first+1, missed, next-killed)
	// A busy machine may run what was due in one second in the next one, and so take it for that.
	assert.LessOrEqual(w.t, doubles, missed, "ticks were run twice: %v", w.runs)
}

func TestTwoProcessesRunEachTickOnceAlsoWhenOneIsKilled(t *testing.T) {
	for _, role := range []string{"locker", "elector"} {
		t.Run(role, func(t *testing.T) {
			w := startHosts(t, role)
			w.await(ticks)
			killed := w.kill()
			w.await(ticks)
			w.requireOnce(killed)
		})
	}
}
