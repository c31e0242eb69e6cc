package gocronlock_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	gocronlock "github.com/b0401464/redlock/adapters/gocron"
	"github.com/b0401464/redlock/test/rig"
)

// A shifted clock is that of a host which differs from the others'.
type shifted struct {
	clockwork.Clock

	ahead time.Duration
}

func (c shifted) Now() time.Time { return c.Clock.Now().Add(c.ahead) }

// everySecond is on the full second of a host's clock. A definition is of one scheduler.
func everySecond() gocron.JobDefinition { return gocron.CronJob("* * * * * *", true) }

// A journal has what the jobs of all hosts have done.
type journal struct {
	mu      sync.Mutex
	ticks   map[int64]int // runs of each second, by the clock of the host that ran it
	runs    []time.Time   // when they began
	running int
	most    int     // ran at a time
	refused []error // by Lock
	failed  []error // by the job
}

// run notes a run which begins now, and returns what ends it.
func (j *journal) run(clock clockwork.Clock) (end func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ticks == nil {
		j.ticks = make(map[int64]int)
	}
	j.ticks[clock.Now().Unix()]++
	j.runs = append(j.runs, time.Now())
	j.running++
	j.most = max(j.most, j.running)
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.running--
	}
}

// begun returns when runs began.
func (j *journal) begun() []time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.runs)
}

func (j *journal) count() int { return len(j.begun()) }

func (j *journal) mostAtATime() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.most
}

func (j *journal) refusals() []error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.refused)
}

func (j *journal) failures() []error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.failed)
}

// requireOnce requires that each second from the first one on was run, and once.
func (j *journal) requireOnce(t *testing.T, least int) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	require.GreaterOrEqual(t, len(j.ticks), least)
	first, last := int64(1<<62), int64(0)
	for second, times := range j.ticks {
		first, last = min(first, second), max(last, second)
		assert.Equal(t, 1, times, "runs of the tick of second %d", second)
	}
	assert.Len(t, j.ticks, int(last-first+1), "ticks were missed")
}

// A job is what a host of a test runs.
type job struct {
	ahead    time.Duration // of its clock
	schedule gocron.JobDefinition
	do       func(ctx context.Context) error
	unnamed  bool
}

// start runs a job in a scheduler of its own, until the test ends or the returned
// function is called.
func (j *journal) start(t *testing.T, l *gocronlock.Locker, what job) (stop func()) {
	t.Helper()
	clock := shifted{clockwork.NewRealClock(), what.ahead}
	s, err := gocron.NewScheduler(gocron.WithClock(clock), gocron.WithDistributedLocker(l))
	require.NoError(t, err)
	options := []gocron.JobOption{gocron.WithEventListeners(
		gocron.AfterLockError(func(_ uuid.UUID, _ string, err error) {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.refused = append(j.refused, err)
		}),
		gocron.AfterJobRunsWithError(func(_ uuid.UUID, _ string, err error) {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.failed = append(j.failed, err)
		}),
	)}
	if !what.unnamed {
		options = append(options, gocron.WithName("report"))
	}
	_, err = s.NewJob(what.schedule, gocron.NewTask(l.Guard(func(ctx context.Context) error {
		defer j.run(clock)()
		if what.do == nil {
			return nil
		}
		return what.do(ctx)
	})), options...)
	require.NoError(t, err)
	s.Start()
	stop = sync.OnceFunc(func() { assert.NoError(t, s.Shutdown()) })
	t.Cleanup(stop)
	return stop
}

// newLocker returns the Locker of another host.
func newLocker(t *testing.T, nodes []*rig.Node, interval time.Duration) *gocronlock.Locker {
	t.Helper()
	return on(t, rig.NewLocker(t, nodes), interval)
}

func on(t *testing.T, locker *redlock.Locker, interval time.Duration) *gocronlock.Locker {
	t.Helper()
	l, err := gocronlock.NewLocker(locker, interval)
	require.NoError(t, err)
	return l
}
