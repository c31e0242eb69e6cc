package asynqlock_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	asynqlock "github.com/b0401464/redlock/adapters/asynq"
	"github.com/b0401464/redlock/test/rig"
)

// quiet is a logger that says nothing.
type quiet struct{}

func (quiet) Debug(...any) {}
func (quiet) Info(...any)  {}
func (quiet) Warn(...any)  {}
func (quiet) Error(...any) {}
func (quiet) Fatal(...any) {}

// A world has nodes that keep locks, and one that is asynq's own.
type world struct {
	t     *testing.T
	nodes []*rig.Node
	queue *rig.Node

	mu       sync.Mutex
	enqueued []time.Time
	refused  []error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	time.Sleep(30 * time.Second) // in the middle between two ticks
	return &world{t: t, nodes: rig.New(t, 3), queue: rig.NewNode(t, 3)}
}

func (w *world) newGuard(interval time.Duration, opts ...asynqlock.Option) *asynqlock.Guard {
	w.t.Helper()
	g, err := asynqlock.New(rig.NewLocker(w.t, w.nodes), interval, append([]asynqlock.Option{
		asynqlock.WithErrorHandler(func(task *asynq.Task, err error) {
			assert.NotNil(w.t, task)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.refused = append(w.refused, err)
		}),
	}, opts...)...)
	require.NoError(w.t, err)
	return g
}

// options are those of a scheduler whose clock is ahead by so many seconds: to cron that is
// a time zone.
func (w *world) options(g *asynqlock.Guard, ahead int) *asynq.SchedulerOpts {
	return &asynq.SchedulerOpts{
		Logger:         quiet{},
		Location:       time.FixedZone("", ahead),
		PreEnqueueFunc: g.PreEnqueue,
		PostEnqueueFunc: func(_ *asynq.TaskInfo, err error) {
			if !assert.NoError(w.t, err) {
				return
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.enqueued = append(w.enqueued, time.Now())
		},
	}
}

// start runs a scheduler until the test ends or the returned function is called.
func (w *world) start(g *asynqlock.Guard, ahead int, cronspec string, task *asynq.Task) (stop func()) {
	w.t.Helper()
	s := asynq.NewSchedulerFromRedisClient(w.queue.Client, w.options(g, ahead))
	_, err := s.Register(cronspec, task)
	require.NoError(w.t, err)
	require.NoError(w.t, s.Start())
	stop = sync.OnceFunc(s.Shutdown)
	w.t.Cleanup(stop)
	return stop
}

// pending returns how many tasks are in the queue.
func (w *world) pending() int {
	w.t.Helper()
	n, err := w.queue.Client.LLen(context.Background(), "asynq:{default}:pending").Result()
	require.NoError(w.t, err)
	return int(n)
}

// refusals returns what the guards have told.
func (w *world) refusals() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.refused)
}

func (w *world) requireContended() {
	w.t.Helper()
	for _, err := range w.refusals() {
		require.ErrorIs(w.t, err, redlock.ErrContended)
	}
}

var digest = asynq.NewTask("email:digest", []byte(`{"to":"all"}`))

func TestEachTickIsEnqueuedOnceBySchedulersWhoseClocksDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, ahead := range []int{0, -2, 3} {
			w.start(w.newGuard(time.Minute), ahead, "* * * * *", digest)
		}
		time.Sleep(time.Hour)
		require.Equal(t, 60, w.pending())
		require.Len(t, w.refusals(), 120)
		w.requireContended()
	})
}

func TestAPeriodicTaskManagerEnqueuesEachTickOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, ahead := range []int{0, -2} {
			m, err := asynq.NewPeriodicTaskManager(asynq.PeriodicTaskManagerOpts{
				RedisUniversalClient:       w.queue.Client,
				PeriodicTaskConfigProvider: tasks{},
				SchedulerOpts:              w.options(w.newGuard(time.Minute), ahead),
				SyncInterval:               10 * time.Second,
			})
			require.NoError(t, err)
			require.NoError(t, m.Start())
			t.Cleanup(m.Shutdown)
		}
		time.Sleep(10 * time.Minute)
		require.Equal(t, 10+2, w.pending())
		w.requireContended()
	})
}

// tasks has one for every minute, and another one for each fifth.
type tasks struct{}

func (tasks) GetConfigs() ([]*asynq.PeriodicTaskConfig, error) {
	return []*asynq.PeriodicTaskConfig{
		{Cronspec: "* * * * *", Task: digest},
		{Cronspec: "*/5 * * * *", Task: asynq.NewTask("email:digest", []byte(`{"to":"some"}`))},
	}, nil
}

func TestNoTickIsMissedWhenASchedulerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.start(w.newGuard(time.Minute), 0, "* * * * *", digest)
		second := w.start(w.newGuard(time.Minute), -2, "* * * * *", digest)
		time.Sleep(10 * time.Minute)
		first()
		time.Sleep(10 * time.Minute)
		second()
		require.Equal(t, 20, w.pending())
	})
}

// What is scheduled by @every begins when its scheduler does.
func TestTicksAreNotNearerToEachOtherThanTheHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 4 {
			w.start(w.newGuard(10*time.Second), 0, "@every 10s", digest)
			time.Sleep(3 * time.Second)
		}
		time.Sleep(10 * time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		require.Greater(t, len(w.enqueued), 55)
		for i := range w.enqueued[1:] {
			apart := w.enqueued[i+1].Sub(w.enqueued[i])
			assert.GreaterOrEqual(t, apart, 9*time.Second-10*time.Millisecond) // less what a round trip takes
			assert.LessOrEqual(t, apart, 19*time.Second)
		}
	})
}

func TestAnOutageIsNotTakenForAnotherScheduler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start(w.newGuard(time.Minute), 0, "* * * * *", digest)
		for _, n := range w.nodes {
			n.Stop()
		}
		time.Sleep(5 * time.Minute)
		require.Zero(t, w.pending())
		require.Len(t, w.refusals(), 5)
		for _, err := range w.refusals() {
			require.ErrorIs(t, err, redlock.ErrNoQuorum)
			require.NotErrorIs(t, err, redlock.ErrContended)
		}
		for _, n := range w.nodes {
			n.Restart()
		}
		time.Sleep(5 * time.Minute)
		require.Equal(t, 5, w.pending())
	})
}

func TestOptionsOfTheLibrarysLockerDoNotDisturb(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, ahead := range []int{0, -2} {
			g, err := asynqlock.New(rig.NewLocker(t, w.nodes, redlock.WithRetry(0, 0), redlock.WithAutoExtend(redlock.Forever),
				redlock.WithFencing(time.Second)), time.Minute)
			require.NoError(t, err)
			w.start(g, ahead, "* * * * *", digest)
		}
		time.Sleep(10 * time.Minute)
		require.Equal(t, 10, w.pending())
	})
}

func TestTasksAreToldApartAsAsynqUniqueDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.newGuard(time.Minute)
		claim := func(task *asynq.Task, opts ...asynq.Option) error { return g.Claim(t.Context(), task, opts...) }
		require.NoError(t, claim(digest))
		require.ErrorIs(t, claim(asynq.NewTask(digest.Type(), digest.Payload())), redlock.ErrContended)
		require.ErrorIs(t, claim(digest, asynq.MaxRetry(3), nil), redlock.ErrContended)
		require.ErrorIs(t, claim(digest, asynq.Queue("other"), asynq.Queue("default")), redlock.ErrContended)
		require.NoError(t, claim(digest, asynq.Queue("other")))
		require.NoError(t, claim(asynq.NewTask(digest.Type(), nil)))
		require.NoError(t, claim(asynq.NewTask("email", digest.Payload())))
		time.Sleep(time.Minute)
		require.NoError(t, claim(digest))
	})
}

func TestAProgramCanNameTasksItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.newGuard(time.Minute, asynqlock.WithHold(time.Second), asynqlock.WithKey(func(task *asynq.Task, opts []asynq.Option) string {
			return fmt.Sprint(task.Type(), opts)
		}))
		require.NoError(t, g.Claim(t.Context(), digest, asynq.MaxRetry(3)))
		require.True(t, w.nodes[0].Exists("email:digest[MaxRetry(3)]"))
		require.NoError(t, g.Claim(t.Context(), digest, asynq.MaxRetry(4)))
		require.ErrorIs(t, g.Claim(t.Context(), digest, asynq.MaxRetry(4)), redlock.ErrContended)
		time.Sleep(time.Second)
		require.NoError(t, g.Claim(t.Context(), digest, asynq.MaxRetry(4)))
	})
}

func TestGuardsAreCheckedWhenTheyAreMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locker := rig.NewLocker(t, rig.New(t, 1))
		for name, err := range map[string]error{
			"no locker":      rig.Err(asynqlock.New(nil, time.Minute)),
			"no interval":    rig.Err(asynqlock.New(locker, 0)),
			"a negative one": rig.Err(asynqlock.New(locker, -time.Second)),
			"a bare number":  rig.Err(asynqlock.New(locker, 60)),
			"hold":           rig.Err(asynqlock.New(locker, time.Minute, asynqlock.WithHold(5))),
			"key":            rig.Err(asynqlock.New(locker, time.Minute, asynqlock.WithKey(nil))),
			"handler":        rig.Err(asynqlock.New(locker, time.Minute, asynqlock.WithErrorHandler(nil))),
			"nil option":     rig.Err(asynqlock.New(locker, time.Minute, nil)),
		} {
			assert.ErrorIs(t, err, redlock.ErrInvalidArgument, name)
		}
		g, err := asynqlock.New(locker, time.Minute)
		require.NoError(t, err)
		require.ErrorIs(t, g.Claim(t.Context(), nil), redlock.ErrInvalidArgument)
		require.ErrorIs(t, g.Claim(nil, digest), redlock.ErrInvalidArgument) //nolint:staticcheck // on purpose
	})
}
