package interop

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

var ticks = flag.Int("ticks", 10, "how many ticks of a scheduler to look at")

// A jobLocker is that of the README's recipe.
type jobLocker struct {
	locker *redlock.Locker
	ttl    time.Duration // a little less than the time between two runs
}

func (l jobLocker) Lock(ctx context.Context, key string) (gocron.Lock, error) {
	// Well below the TTL: whoever waited for longer would get what has run out.
	if _, err := l.locker.Lock(ctx, "job:"+key, l.ttl, redlock.WithMaxWait(l.ttl/10)); err != nil {
		return nil, err // gocron does not run the job here
	}
	return runsOut{}, nil
}

type runsOut struct{}

func (runsOut) Unlock(context.Context) error { return nil }

const envScheduler = "REDLOCK_INTEROP_SCHEDULER"

// schedule is a process that runs a job once a second, and prints which second that is.
func schedule(addrs []string) error {
	var clients []*redis.Client
	for _, addr := range addrs {
		clients = append(clients, redis.NewClient(&redis.Options{Addr: addr}))
	}
	locker, err := redlock.New(clients)
	if err != nil {
		return err
	}
	s, err := gocron.NewScheduler(gocron.WithDistributedLocker(jobLocker{locker, 900 * time.Millisecond}))
	if err != nil {
		return err
	}
	_, err = s.NewJob(
		gocron.CronJob("* * * * * *", true),
		gocron.NewTask(func() { fmt.Println("ran", time.Now().Unix()) }),
		gocron.WithName("job"),
		gocron.WithEventListeners(gocron.AfterLockError(func(_ uuid.UUID, _ string, err error) {
			if !errors.Is(err, redlock.ErrContended) {
				fmt.Fprintln(os.Stderr, err) // an outage
			}
		})),
	)
	if err != nil {
		return err
	}
	s.Start()
	fmt.Println("ready 0")
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // until the test closes it
	return s.Shutdown()
}

// Each tick of two schedulers in two processes is run by one of them.
func TestTwoProcessesWithGocronRunEachTickOnce(t *testing.T) {
	n := startNodes(t)
	var mu sync.Mutex
	runs, ready := map[int64]int{}, 0
	for range 2 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], n.addrs()...) //nolint:gosec // itself
		cmd.Env = append(os.Environ(), envScheduler+"=1", "GORACE=atexit_sleep_ms=0")
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for lines := bufio.NewScanner(out); lines.Scan(); {
				var what string
				var second int64
				_, _ = fmt.Sscan(lines.Text(), &what, &second)
				mu.Lock()
				if what == "ran" {
					runs[second]++
				} else {
					ready++
				}
				mu.Unlock()
			}
		}()
		t.Cleanup(func() {
			_ = in.Close()
			<-done
			_ = cmd.Wait()
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(runs) }
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return ready == 2 }, patience, tick)
	require.Eventually(t, func() bool { return count() > *ticks }, patience+2*time.Duration(*ticks)*time.Second, tick)
	mu.Lock()
	defer mu.Unlock()
	first, last := int64(1<<62), int64(0)
	for second, times := range runs {
		first, last = min(first, second), max(last, second)
		assert.Equal(t, 1, times, "runs of the tick of second %d", second)
	}
	missed := int(last-first+1) - len(runs)
	t.Logf("%d ticks, %d missed", last-first+1, missed)
	assert.LessOrEqual(t, missed, *ticks/2, "a busy machine misses some")
}
