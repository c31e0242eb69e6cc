package lane_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/lane"
)

func TestCommandsArriveInTheOrderGivenWhateverOrderGoroutinesRunIn(t *testing.T) {
	t.Parallel()
	const (
		callers = 4
		rounds  = 100_000 // of all callers together
	)
	h := newHistory()
	var wg sync.WaitGroup
	for seed := range uint64(callers) {
		wg.Go(func() {
			c := caller{history: h, random: rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // repeatable on purpose
			c.run(rounds / callers)
		})
	}
	wg.Wait()

	assert.Zero(t, h.table.Open())
	arrived, dropped := 0, 0
	for i := range h.lanes {
		l := &h.lanes[i]
		var want []*command
		for _, c := range l.taken {
			if c.dropped {
				require.NotEqual(t, lane.Release, c.kind, "a release was dropped")
				dropped++
				continue
			}
			want = append(want, c)
		}
		require.Len(t, l.arrived, len(want), "lane %d", i)
		for j, c := range want {
			if l.arrived[j] != c {
				require.Failf(t, "out of order", "lane %d: command %d is %+v, want %+v", i, j, l.arrived[j], c)
			}
		}
		l.requireCleanedUp(t)
		arrived += len(want)
	}
	// What was tried is worth something only if all of it happened.
	t.Logf("%d arrived, %d dropped, %d behind, %d unneeded", arrived, dropped, h.refused[lane.Behind].Load(), h.refused[lane.Unneeded].Load())
	assert.Greater(t, arrived, rounds)
	assert.Greater(t, dropped, rounds/1000)
	assert.Greater(t, h.refused[lane.Behind].Load(), int64(rounds/1000))
	assert.Greater(t, h.refused[lane.Unneeded].Load(), int64(rounds/1000))
}

const (
	historyNodes     = 2 // the first of them is slow
	historyResources = 3
)

// A history records in which order commands were given and arrived.
type history struct {
	table *lane.Table
	mu    sync.Mutex // makes one step of taking places and noting them
	lanes [historyNodes * historyResources]journal

	trains  atomic.Int64
	refused [lane.Unneeded + 1]atomic.Int64 // by reason
}

// A journal is the history of one lane.
type journal struct {
	taken   []*command
	arrived []*command // by whoever has the turn: only the lane guards it
}

type command struct {
	series    int64
	kind      lane.Kind
	dropped   bool
	node      int
	resources []int
}

func newHistory() *history {
	h := &history{table: lane.NewTable(historyNodes)}
	h.table.Bound(1, 2) // fewer than there are callers
	return h
}

// requireCleanedUp demands that every acquire that arrived was followed by a
// release, and by nothing after it.
func (j *journal) requireCleanedUp(t *testing.T) {
	t.Helper()
	there := make(map[int64]bool)
	for _, c := range j.arrived {
		switch c.kind {
		case lane.Acquire:
			there[c.series] = true
		case lane.Follow:
			require.True(t, there[c.series], "an extension without its acquire: %+v", c)
		case lane.Restore:
		case lane.Release:
			require.True(t, there[c.series], "a release without its acquire: %+v", c)
			delete(there, c.series)
		}
	}
	require.Empty(t, there, "values left behind")
}

// A caller gives commands and starts their goroutines in an order that has
// nothing to do with it.
type caller struct {
	history *history
	random  *rand.Rand
	live    []*series
	queue   []func() // goroutines to start
	wg      sync.WaitGroup
}

type series struct {
	lane.Series

	id        int64
	resources []int
}

func (c *caller) run(rounds int) {
	for done := 0; done < rounds; {
		for range 1 + c.random.IntN(16) {
			if len(c.live) == 0 || c.random.IntN(3) == 0 {
				tr := c.series()
				c.live = append(c.live, tr)
				c.give(tr, lane.Acquire)
			} else if i := c.random.IntN(len(c.live)); c.random.IntN(2) == 0 {
				c.give(c.live[i], lane.Follow)
			} else {
				c.give(c.live[i], lane.Release)
				c.live = append(c.live[:i], c.live[i+1:]...)
			}
			done++
		}
		c.start()
	}
	for _, tr := range c.live {
		c.give(tr, lane.Release)
	}
	c.start()
	c.wg.Wait()
}

// series returns a series for one or several resources, in any order.
func (c *caller) series() *series {
	resources := c.random.Perm(historyResources)[:1+c.random.IntN(historyResources)]
	names := make([]string, len(resources))
	for i, r := range resources {
		names[i] = fmt.Sprint("resource", r)
	}
	return &series{c.history.table.NewSeries(names...), c.history.trains.Add(1), resources}
}

// give takes the places of a round and notes their order, in one step.
func (c *caller) give(tr *series, kind lane.Kind) {
	h := c.history
	h.mu.Lock()
	defer h.mu.Unlock()
	places := tr.Take(kind, time.Hour, nil)
	for node := range places {
		p := &places[node]
		if !p.Taken() {
			h.refused[p.Reason()].Add(1)
			continue
		}
		cmd := &command{series: tr.id, kind: kind, node: node, resources: tr.resources}
		for _, r := range tr.resources {
			j := h.lane(r, node)
			j.taken = append(j.taken, cmd)
		}
		pause := c.random.IntN(3)
		c.queue = append(c.queue, func() { h.arrive(p, cmd, pause) })
	}
}

func (h *history) lane(resource, node int) *journal { return &h.lanes[resource*historyNodes+node] }

// arrive waits for the command's turn and has it.
func (h *history) arrive(p *lane.Place, cmd *command, pause int) {
	for range pause {
		runtime.Gosched()
	}
	if !await(p) {
		cmd.dropped = true
		return
	}
	for _, r := range cmd.resources {
		j := h.lane(r, cmd.node)
		j.arrived = append(j.arrived, cmd)
	}
	if cmd.node == 0 {
		for range 3 * pause {
			runtime.Gosched()
		}
	}
	p.Done(true)
}

// start starts the goroutines in any order, and sometimes waits for them.
func (c *caller) start() {
	c.random.Shuffle(len(c.queue), func(i, j int) { c.queue[i], c.queue[j] = c.queue[j], c.queue[i] })
	for _, fn := range c.queue {
		c.wg.Go(fn)
	}
	c.queue = c.queue[:0]
	if c.random.IntN(3) == 0 {
		c.wg.Wait()
	}
}
