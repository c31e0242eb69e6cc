package locking_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/faultproxy"
	"github.com/b0401464/redlock/test/rig"
)

// A realCrowd is workers, each with a Locker and clients of its own, that take one
// lock in turn.
type realCrowd struct {
	rig     *rig.Real
	hold    time.Duration
	stop    chan struct{}
	workers sync.WaitGroup
	lockers []*redlock.Locker

	inside   atomic.Int32
	overlaps atomic.Int32
	turns    []atomic.Int32

	mu    sync.Mutex
	waits []time.Duration
}

func newRealCrowd(t *testing.T, on *rig.Real, lockers []*redlock.Locker, hold time.Duration) *realCrowd {
	t.Helper()
	c := &realCrowd{rig: on, hold: hold, stop: make(chan struct{}), lockers: lockers, turns: make([]atomic.Int32, len(lockers))}
	for i, l := range lockers {
		c.workers.Go(func() {
			for {
				select {
				case <-c.stop:
					return
				default:
				}
				begin := time.Now()
				err := l.With(t.Context(), "k", 5*time.Second, func(context.Context, *redlock.Lock) error {
					c.enter(i, time.Since(begin))
					return nil
				}, nil, rig.InTurn, redlock.WithNodeTimeout(500*time.Millisecond))
				assert.NoError(t, err)
			}
		})
	}
	return c
}

func (c *realCrowd) enter(i int, waited time.Duration) {
	if c.inside.Add(1) > 1 {
		c.overlaps.Add(1)
	}
	c.mu.Lock()
	c.waits = append(c.waits, waited)
	c.mu.Unlock()
	<-time.After(c.hold)
	c.inside.Add(-1)
	c.turns[i].Add(1)
}

func (c *realCrowd) all() (sum, most, fewest int) {
	fewest = 1 << 30
	for i := range c.turns {
		n := int(c.turns[i].Load())
		sum, most, fewest = sum+n, max(most, n), min(fewest, n)
	}
	return sum, most, fewest
}

// progress waits until every worker has had n more turns.
func (c *realCrowd) progress(t *testing.T, n int) {
	t.Helper()
	before := make([]int32, len(c.turns))
	for i := range c.turns {
		before[i] = c.turns[i].Load()
	}
	require.True(t, rig.Poll(rig.Patience, func() bool {
		for i := range c.turns {
			if c.turns[i].Load() < before[i]+int32(n) { //nolint:gosec // small
				return false
			}
		}
		return true
	}), "somebody gets no turn")
}

// end ends the crowd, prints its figures and checks that nobody overlapped.
func (c *realCrowd) end(t *testing.T) {
	t.Helper()
	close(c.stop)
	c.workers.Wait()
	for _, l := range c.lockers {
		rig.Drain(t, l)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.waits)
	sum, most, fewest := c.all()
	t.Logf("%d turns, %d to %d each; waits: median %v, p99 %v, longest %v", sum, fewest, most,
		c.waits[len(c.waits)/2].Round(time.Microsecond), c.waits[len(c.waits)*99/100].Round(time.Microsecond), c.waits[len(c.waits)-1].Round(time.Microsecond))
	assert.Zero(t, c.overlaps.Load(), "two held it")
}

func TestProcessesTakeTurns(t *testing.T) {
	for name, c := range map[string]struct {
		nodes int
		one   bool
	}{"16 processes, 3 nodes": {nodes: 3}, "16 processes, 1 node": {nodes: 1}, "16 goroutines, 3 nodes": {nodes: 3, one: true}} {
		t.Run(name, func(t *testing.T) {
			on := rig.NewReal(t, c.nodes)
			lockers := on.Others(t, 16)
			if c.one {
				lockers = slices.Repeat(lockers[:1], 16)
			}
			crowd := newRealCrowd(t, on, lockers, time.Millisecond)
			crowd.progress(t, 30)
			crowd.end(t)
			_, most, fewest := crowd.all()
			assert.LessOrEqual(t, most, 3*fewest, "without a line the ratio is 4 and more")
			on.RequireEmpty(t, rig.Patience)
		})
	}
}

func TestWhatBefallsTheGateCostsNoLockAndNoOverlap(t *testing.T) {
	for name, befall := range map[string]func(t *testing.T, on *rig.Real, gate int){
		"frozen": func(t *testing.T, on *rig.Real, gate int) {
			t.Helper()
			on.Servers[gate].Freeze()
		},
		"killed": func(t *testing.T, on *rig.Real, gate int) {
			t.Helper()
			on.Servers[gate].Kill()
		},
		"connections cut": func(t *testing.T, on *rig.Real, _ int) {
			t.Helper()
			for _, p := range on.Proxies {
				p.Cut()
			}
		},
		"line and reservation lost": func(t *testing.T, on *rig.Real, gate int) {
			t.Helper()
			require.NoError(t, on.Direct[gate].Del(t.Context(), "{k}:redlock:line", "{k}:redlock:next").Err())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			on := rig.NewProxied(t, 3)
			crowd := newRealCrowd(t, on, on.Others(t, 6), time.Millisecond)
			crowd.progress(t, 3)
			gate := on.Gate(t, "k")
			befall(t, on, gate)
			crowd.progress(t, 3)
			switch name {
			case "frozen":
				on.Servers[gate].Thaw()
			case "killed":
				on.Servers[gate].Restart()
			}
			crowd.progress(t, 5)
			crowd.end(t)
		})
	}
}

func TestAGateThatRestartsEmptyUnderALockLetsNobodyIn(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	l := on.Locker(t)
	k, err := l.Lock(t.Context(), "k", rig.LongTTL)
	require.NoError(t, err)
	rig.DrainCalls(t, l)
	require.Equal(t, 3, on.Holders(t, "k", k.Value()))
	crowd := newRealCrowd(t, on, on.Others(t, 4), time.Millisecond)
	gate := on.Gate(t, "k")
	on.Servers[gate].Restart()
	require.True(t, rig.Poll(rig.Patience, func() bool { return on.Waiting(t, "k") >= 3 }), "they stand in line again")
	sum, _, _ := crowd.all()
	require.Zero(t, sum)
	require.NoError(t, k.Extend(t.Context(), rig.LongTTL))
	require.NoError(t, k.Unlock(t.Context()))
	begin := time.Now()
	crowd.progress(t, 1)
	t.Logf("all had a turn %v after the release", time.Since(begin))
	crowd.end(t)
	rig.Drain(t, l)
}

func TestTheNextOneTakesOverSoonAfterAHolderThatWasKilled(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	const (
		times = 3
		ttl   = 3 * time.Second
	)
	var late []time.Duration
	waiters := on.Others(t, 3)
	for range times {
		holder := on.Other(t)
		k, err := holder.Lock(t.Context(), "k", ttl)
		require.NoError(t, err)
		runsOut := time.Now().Add(ttl)
		got := make(chan time.Time, len(waiters))
		var served []<-chan error
		for i, w := range waiters {
			served = append(served, rig.StandInLine(t, func() bool { return on.Waiting(t, "k") > i }, func(ctx context.Context) error {
				lock, err := w.Lock(ctx, "k", rig.LongTTL, rig.Seldom)
				if err != nil {
					return err
				}
				got <- time.Now()
				return lock.Unlock(context.WithoutCancel(ctx))
			}))
		}
		assert.NotEmpty(t, k.Value()) // nobody unlocks it
		for _, ended := range served {
			require.NoError(t, rig.Within(t, ended))
		}
		late = append(late, (<-got).Sub(runsOut))
		rig.Drain(t, holder)
	}
	for _, w := range waiters {
		rig.Drain(t, w)
	}
	t.Logf("taken over after the expiry: %v", late)
}

func TestProcessesThatDieAtTheHeadOfTheLineArePassedOver(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	holder := on.Locker(t)
	for _, dead := range []int{1, 10} {
		k, err := holder.Lock(t.Context(), "k", rig.LongTTL)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var proxies []*faultproxy.Proxy
		lockers := []*redlock.Locker{on.Other(t)}
		live := lockers[0]
		for i := range dead {
			dying := &rig.Real{Servers: on.Servers}
			for _, s := range on.Servers {
				dying.Proxies = append(dying.Proxies, faultproxy.New(t, s.Addr()))
			}
			proxies = append(proxies, dying.Proxies...)
			l := rig.NewRealLocker(t, dying.NewClients(t))
			lockers = append(lockers, l)
			all.Go(func() { _, _ = l.Lock(ctx, "k", rig.LongTTL, rig.InTurn) })
			require.True(t, rig.Poll(rig.Patience, func() bool { return on.Waiting(t, "k") > i }))
		}
		got := make(chan time.Time, 1)
		all.Go(func() {
			k, err := live.Lock(t.Context(), "k", rig.LongTTL, rig.InTurn)
			if assert.NoError(t, err) {
				got <- time.Now()
				assert.NoError(t, k.Unlock(t.Context()))
			}
		})
		require.True(t, rig.Poll(rig.Patience, func() bool { return on.Waiting(t, "k") > dead }))
		for _, p := range proxies {
			p.Refuse(true)
			p.Cut()
		}
		begin := time.Now()
		require.NoError(t, k.Unlock(t.Context()))
		t.Logf("%d dead: the next one had it %v after the release", dead, (<-got).Sub(begin))
		cancel()
		all.Wait()
		for _, l := range lockers {
			rig.Drain(t, l)
		}
	}
	rig.Drain(t, holder)
}
