package redlock_test

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
	"github.com/b0401464/redlock/internal/faultproxy"
)

// A realCrowd is workers, each with a Locker and clients of its own, that take one
// lock in turn.
type realCrowd struct {
	rig     *realRig
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

func newRealCrowd(t *testing.T, rig *realRig, lockers []*redlock.Locker, hold time.Duration) *realCrowd {
	t.Helper()
	c := &realCrowd{rig: rig, hold: hold, stop: make(chan struct{}), lockers: lockers, turns: make([]atomic.Int32, len(lockers))}
	for i, l := range lockers {
		c.workers.Go(func() {
			for {
				select {
				case <-c.stop:
					return
				default:
				}
				begin := time.Now()
				err := l.With(t.Context(), "k", 2*time.Second, func(context.Context, *redlock.Lock) error {
					c.enter(i, time.Since(begin))
					return nil
				}, nil, inTurn)
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
	require.True(t, poll(realPatience, func() bool {
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
		drain(t, l)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.waits)
	sum, most, fewest := c.all()
	t.Logf("%d turns, %d to %d each; waits: median %v, p99 %v, longest %v", sum, fewest, most,
		c.waits[len(c.waits)/2].Round(time.Microsecond), c.waits[len(c.waits)*99/100].Round(time.Microsecond), c.waits[len(c.waits)-1].Round(time.Microsecond))
	assert.Zero(t, c.overlaps.Load(), "two held it")
}

// others returns n Lockers of other processes; each lists the nodes in another order.
func (rig *realRig) others(t *testing.T, n int) []*redlock.Locker {
	t.Helper()
	var all []*redlock.Locker
	for i := range n {
		clients := rig.newClients(t)
		at := i % len(clients)
		all = append(all, newRealLocker(t, slices.Concat(clients[at:], clients[:at])))
	}
	return all
}

// realGate returns the server that keeps the line for key, in which somebody waits.
func (rig *realRig) realGate(t *testing.T, key string) int {
	t.Helper()
	gate := -1
	require.True(t, poll(realPatience, func() bool {
		for i, c := range rig.direct {
			if c.Exists(t.Context(), "{"+key+"}:redlock:line").Val() > 0 {
				gate = i
			}
		}
		return gate >= 0
	}), "nobody waits in line")
	return gate
}

func TestProcessesTakeTurns(t *testing.T) {
	for name, c := range map[string]struct {
		nodes int
		one   bool
	}{"16 processes, 3 nodes": {nodes: 3}, "16 processes, 1 node": {nodes: 1}, "16 goroutines, 3 nodes": {nodes: 3, one: true}} {
		t.Run(name, func(t *testing.T) {
			rig := newRealRig(t, c.nodes)
			lockers := rig.others(t, 16)
			if c.one {
				lockers = slices.Repeat(lockers[:1], 16)
			}
			crowd := newRealCrowd(t, rig, lockers, time.Millisecond)
			crowd.progress(t, 30)
			crowd.end(t)
			_, most, fewest := crowd.all()
			assert.LessOrEqual(t, most, 3*fewest, "without a line the ratio is 4 and more")
			rig.requireEmpty(t, 15*time.Second)
		})
	}
}

func TestWhatBefallsTheGateCostsNoLockAndNoOverlap(t *testing.T) {
	for name, befall := range map[string]func(t *testing.T, rig *realRig, gate int){
		"frozen": func(t *testing.T, rig *realRig, gate int) {
			t.Helper()
			rig.servers[gate].Freeze()
		},
		"killed": func(t *testing.T, rig *realRig, gate int) {
			t.Helper()
			rig.servers[gate].Kill()
		},
		"connections cut": func(t *testing.T, rig *realRig, _ int) {
			t.Helper()
			for _, p := range rig.proxies {
				p.Cut()
			}
		},
		"line and reservation lost": func(t *testing.T, rig *realRig, gate int) {
			t.Helper()
			require.NoError(t, rig.direct[gate].Del(t.Context(), "{k}:redlock:line", "{k}:redlock:next").Err())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rig := newRealProxiedRig(t, 3)
			crowd := newRealCrowd(t, rig, rig.others(t, 6), time.Millisecond)
			crowd.progress(t, 3)
			gate := rig.realGate(t, "k")
			befall(t, rig, gate)
			crowd.progress(t, 3)
			switch name {
			case "frozen":
				rig.servers[gate].Thaw()
			case "killed":
				rig.servers[gate].Restart()
			}
			crowd.progress(t, 5)
			crowd.end(t)
		})
	}
}

func TestAGateThatRestartsEmptyUnderALockLetsNobodyIn(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3)
	l := rig.locker(t)
	k, err := l.Lock(t.Context(), "k", realTTL)
	require.NoError(t, err)
	drainCalls(t, l)
	require.Equal(t, 3, rig.holders(t, "k", k.Value()))
	crowd := newRealCrowd(t, rig, rig.others(t, 4), time.Millisecond)
	gate := rig.realGate(t, "k")
	rig.servers[gate].Restart()
	require.True(t, poll(realPatience, func() bool { return rig.waiting(t, "k") >= 3 }), "they stand in line again")
	sum, _, _ := crowd.all()
	require.Zero(t, sum)
	require.NoError(t, k.Extend(t.Context(), realTTL))
	require.NoError(t, k.Unlock(t.Context()))
	begin := time.Now()
	crowd.progress(t, 1)
	t.Logf("all had a turn %v after the release", time.Since(begin))
	crowd.end(t)
	drain(t, l)
}

func TestTheNextOneTakesOverSoonAfterAHolderThatWasKilled(t *testing.T) {
	rig := newRealRig(t, 3)
	const times = 5
	var late []time.Duration
	waiters := rig.others(t, 3)
	for range times {
		holder := rig.other(t)
		k, err := holder.Lock(t.Context(), "k", time.Second)
		require.NoError(t, err)
		runsOut := time.Now().Add(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan time.Time, len(waiters))
		var all sync.WaitGroup
		for _, w := range waiters {
			all.Go(func() {
				if k, err := w.Lock(ctx, "k", realTTL, inTurn); err == nil {
					got <- time.Now()
					assert.NoError(t, k.Unlock(context.WithoutCancel(ctx)))
				}
			})
		}
		assert.NotEmpty(t, k.Value()) // nobody unlocks it
		late = append(late, (<-got).Sub(runsOut))
		all.Wait()
		cancel()
		drain(t, holder)
	}
	for _, w := range waiters {
		drain(t, w)
	}
	t.Logf("taken over after the expiry: %v", late)
	slices.Sort(late)
	assert.Less(t, late[0], 200*time.Millisecond, "a poll each 400 ms takes as long again")
}

func TestProcessesThatDieAtTheHeadOfTheLineArePassedOver(t *testing.T) {
	rig := newRealRig(t, 3)
	holder := rig.locker(t)
	for _, dead := range []int{1, 10} {
		k, err := holder.Lock(t.Context(), "k", realTTL)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var proxies []*faultproxy.Proxy
		lockers := []*redlock.Locker{rig.other(t)}
		live := lockers[0]
		for i := range dead {
			dying := &realRig{servers: rig.servers}
			for _, s := range rig.servers {
				dying.proxies = append(dying.proxies, faultproxy.New(t, s.Addr()))
			}
			proxies = append(proxies, dying.proxies...)
			l := newRealLocker(t, dying.newClients(t))
			lockers = append(lockers, l)
			all.Go(func() { _, _ = l.Lock(ctx, "k", realTTL, inTurn) })
			require.True(t, poll(realPatience, func() bool { return rig.waiting(t, "k") > i }))
		}
		got := make(chan time.Time, 1)
		all.Go(func() {
			k, err := live.Lock(t.Context(), "k", realTTL, inTurn)
			if assert.NoError(t, err) {
				got <- time.Now()
				assert.NoError(t, k.Unlock(t.Context()))
			}
		})
		require.True(t, poll(realPatience, func() bool { return rig.waiting(t, "k") > dead }))
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
			drain(t, l)
		}
	}
	drain(t, holder)
}
