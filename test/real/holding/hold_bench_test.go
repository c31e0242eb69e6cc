package holding_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

// How many locks the benchmark holds, and for how long.
const (
	envHoldLocks = "REDLOCK_HOLD_LOCKS"
	envHoldTime  = "REDLOCK_HOLD_TIME"
)

// maxLockBytes is how much memory a lock may take that is extended
// automatically, together with its context.
const maxLockBytes = 4096

// A heldCrowd is many locks of one process, and what it takes to hold them.
type heldCrowd struct {
	locker  *redlock.Locker
	servers []*redis.Client
	ttl     time.Duration

	locks    []*redlock.Lock
	contexts []context.Context // a holder watches its own

	before, idle, most int // goroutines
	took               time.Duration
	cpu                time.Duration
	traffic            rig.Traffic

	bytes float64 // what a lock takes, and gives back when it is unlocked
	grown float64 // that, and what the runtime keeps of goroutines for others to come
}

// newHeldCrowd returns n locks to be held. Pools, maps and scripts are as full
// as they get.
func newHeldCrowd(tb testing.TB, l *redlock.Locker, servers []*redis.Client, n int, ttl time.Duration) *heldCrowd {
	tb.Helper()
	c := &heldCrowd{
		locker: l, servers: servers, ttl: ttl,
		locks: make([]*redlock.Lock, n), contexts: make([]context.Context, n),
	}
	c.acquire(tb, "warm up ")
	c.release(tb)
	c.before = rig.Goroutines()
	return c
}

// each calls f for every lock, on a number of goroutines.
func (c *heldCrowd) each(f func(i int)) {
	const workers = 64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(c.locks); i += workers {
				f(i)
			}
		})
	}
	wg.Wait()
}

func (c *heldCrowd) acquire(tb testing.TB, prefix string) {
	tb.Helper()
	c.each(func(i int) {
		lock, err := c.locker.Lock(tb.Context(), prefix+strconv.Itoa(i), c.ttl)
		if !assert.NoError(tb, err) {
			return
		}
		ctx, _ := lock.Context(context.Background()) // ends with the lock
		c.locks[i], c.contexts[i] = lock, ctx
	})
	require.False(tb, tb.Failed())
}

func (c *heldCrowd) release(tb testing.TB) {
	tb.Helper()
	c.each(func(i int) {
		// On a busy machine the answer may come after the node timeout.
		if err := c.locks[i].Unlock(tb.Context()); !errors.Is(err, redlock.ErrNoQuorum) {
			assert.NoError(tb, err)
		}
	})
	clear(c.locks)
	clear(c.contexts)
	require.True(tb, rig.Poll(rig.Patience, func() bool { return seam.OpenCalls(c.locker) == 0 }))
}

// hold takes the locks and holds them for d. None may be lost.
func (c *heldCrowd) hold(tb testing.TB, d time.Duration) {
	tb.Helper()
	c.acquire(tb, "k")
	begun, traffic, cpu := time.Now(), rig.ReadTraffic(tb, c.servers), processorTime(tb)
	c.idle = math.MaxInt
	tick := time.NewTicker(rig.Tick)
	defer tick.Stop()
	for time.Since(begun) < d {
		n := rig.Goroutines()
		c.idle, c.most = min(c.idle, n), max(c.most, n)
		<-tick.C
	}
	c.cpu = processorTime(tb) - cpu
	c.traffic = rig.ReadTraffic(tb, c.servers).Since(traffic)
	c.took = time.Since(begun)
	tb.Log(c)
	require.Zero(tb, c.lost())
}

// weigh holds the locks for d and finds out what memory they take.
func (c *heldCrowd) weigh(tb testing.TB, d time.Duration) {
	tb.Helper()
	before := leastHeap()
	c.hold(tb, d)
	held := leastHeap()
	c.release(tb)
	share := func(without float64) float64 { return (held - without) / float64(len(c.locks)) }
	c.bytes, c.grown = share(leastHeap()), share(before)
	tb.Logf("%.0f bytes a lock, %.0f with what stays behind", c.bytes, c.grown)
	assert.Less(tb, c.bytes, float64(maxLockBytes))
}

// leastHeap returns the smallest of a few samples: extensions under way take
// memory too, for a moment.
func leastHeap() float64 {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	least := uint64(math.MaxUint64)
	for range 5 {
		<-tick.C
		least = min(least, measureFootprint().heap)
	}
	return float64(least)
}

// lost returns how many locks have been lost.
func (c *heldCrowd) lost() int {
	n := 0
	for i, ctx := range c.contexts {
		if ctx.Err() != nil || !c.locks[i].Valid() {
			n++
		}
	}
	return n
}

// rate returns how often a node was asked to extend a lock, per third of the
// TTL.
func (c *heldCrowd) rate() float64 {
	due := float64(c.took) / float64(c.ttl/3) * float64(len(c.locks)*len(c.servers))
	return float64(c.traffic.Scripts) / due
}

func (c *heldCrowd) String() string {
	return fmt.Sprintf("%d locks, %d lost, for %v: goroutines %d before, %d at least, %d at most; processor time %v; %.2f extensions for each that was due",
		len(c.locks), c.lost(), c.took.Round(time.Millisecond), c.before, c.idle, c.most, c.cpu.Round(time.Millisecond), c.rate())
}

// holdClients returns clients of n new servers, and others that look at them.
func holdClients(tb testing.TB, n int) (clients, direct []*redis.Client) {
	tb.Helper()
	for _, s := range servers.Start(tb, n) {
		clients = append(clients, s.Client(tb))
		direct = append(direct, s.Client(tb))
	}
	return clients, direct
}

// holdPipeliners returns an AutoPipeliner of each client.
func holdPipeliners(tb testing.TB, clients []*redis.Client) []*redis.AutoPipeliner {
	tb.Helper()
	all := make([]*redis.AutoPipeliner, len(clients))
	for i, c := range clients {
		p, err := c.AutoPipeline()
		require.NoError(tb, err)
		tb.Cleanup(func() { assert.NoError(tb, p.Close()) })
		all[i] = p
	}
	return all
}

// finish shuts the Locker down. Nothing is left on the servers.
func (c *heldCrowd) finish(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), rig.Patience)
	defer cancel()
	require.NoError(tb, c.locker.Shutdown(ctx))
	for _, s := range c.servers {
		left, err := s.Keys(ctx, "*").Result()
		require.NoError(tb, err)
		require.Empty(tb, left)
	}
}

// newTestCrowds returns locks on new servers. They are held for longer than it
// takes until all of them fall due.
func newTestCrowds(t *testing.T, sizes ...int) (all []*heldCrowd, d time.Duration) {
	t.Helper()
	const ttl = 9 * time.Second // a busy machine may stand still for a while
	clients, direct := holdClients(t, 3)
	l := rig.NewRealLocker(t, clients, redlock.WithAutoExtend(redlock.Forever))
	for _, n := range sizes {
		all = append(all, newHeldCrowd(t, l, direct, n, ttl))
	}
	return all, ttl / 2
}

func TestHeldLocksTakeNoGoroutines(t *testing.T) {
	crowds, d := newTestCrowds(t, 50, 500)
	for _, c := range crowds {
		c.hold(t, d)
		assert.Positive(t, c.traffic.Scripts)
		assert.Less(t, c.rate(), 2.0)
		c.release(t)
	}
	assert.LessOrEqual(t, crowds[1].idle, 2*crowds[0].idle)
	crowds[0].finish(t)
}

func TestAHeldLockTakesLittleMemory(t *testing.T) {
	if rig.RaceEnabled {
		t.Skip("the race detector takes memory too")
	}
	crowds, d := newTestCrowds(t, 1000)
	crowds[0].weigh(t, d)
	crowds[0].finish(t)
}

func BenchmarkHoldingTenThousandLocks(b *testing.B) {
	locks, d := 10_000, time.Minute
	var err error
	if text := os.Getenv(envHoldLocks); text != "" {
		locks, err = strconv.Atoi(text)
		require.NoError(b, err, envHoldLocks)
	}
	if text := os.Getenv(envHoldTime); text != "" {
		d, err = time.ParseDuration(text)
		require.NoError(b, err, envHoldTime)
	}
	b.Run("plain clients", func(b *testing.B) {
		clients, direct := holdClients(b, 3)
		benchmarkHolding(b, clients, direct, locks, d)
	})
	b.Run("AutoPipeliners", func(b *testing.B) {
		clients, direct := holdClients(b, 3)
		benchmarkHolding(b, holdPipeliners(b, clients), direct, locks, d)
	})
}

func benchmarkHolding[C redlock.Client](b *testing.B, clients []C, direct []*redis.Client, locks int, d time.Duration) {
	b.Helper()
	var nodeErrors rig.ErrorCounter
	l, err := redlock.New(clients, redlock.WithAutoExtend(redlock.Forever), nodeErrors.Option())
	require.NoError(b, err)
	c := newHeldCrowd(b, l, direct, locks, 15*time.Second)
	for b.Loop() {
		c.weigh(b, d)
	}
	minutes, seconds := c.took.Minutes(), c.took.Seconds()
	b.ReportMetric(0, "ns/op") // it is what was asked for
	b.ReportMetric(0, "losses")
	b.ReportMetric(float64(nodeErrors.N.Load()), "node-errors")
	b.ReportMetric(c.bytes, "B/lock")
	b.ReportMetric(c.grown, "grown-B/lock")
	b.ReportMetric(float64(c.before), "goroutines-before")
	b.ReportMetric(float64(c.idle), "goroutines-idle")
	b.ReportMetric(float64(c.most), "goroutines-most")
	b.ReportMetric(c.cpu.Seconds()/minutes, "cpu-s/min")
	b.ReportMetric(float64(c.traffic.Commands)/seconds, "commands/s")
	b.ReportMetric(float64(c.traffic.Scripts)/seconds, "scripts/s")
	b.ReportMetric(float64(c.traffic.Scripts)/float64(c.traffic.Commands), "scripts/command")
	b.ReportMetric(float64(c.traffic.Scripts)/float64(c.traffic.Reads), "scripts/read")
	b.ReportMetric(c.rate(), "scripts/due")
	c.finish(b)
}
