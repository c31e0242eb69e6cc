package chaos

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// A schedule is the faults of a run: its seed decides which ones, where, for how
// long and in which order, and a budget when the next one may begin.
type schedule struct {
	world  *world
	seed   uint64
	budget budget

	mu   sync.Mutex
	past []*episode
}

// An episode is one fault.
type episode struct {
	fault  *fault
	node   int   // or allNodes
	whom   []int // processes
	pause  time.Duration
	length time.Duration
	source rand.Source

	begun, ended time.Time
}

const allNodes = -1

func newSchedule(w *world, seed uint64) *schedule { return &schedule{world: w, seed: seed} }

// run injects faults until ctx ends, and returns when everything is healed.
func (s *schedule) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.isolate(ctx) })
	random := rand.New(rand.NewPCG(s.seed, 0)) //nolint:gosec // nothing secret
	for {
		e := draw(random)
		sleep(ctx, e.pause)
		for ctx.Err() == nil && !s.budget.take(e) {
			sleep(ctx, 5*time.Millisecond)
		}
		if ctx.Err() != nil {
			return
		}
		wg.Go(func() {
			s.inject(ctx, e)
			s.budget.giveBack(e)
		})
	}
}

// isolate cuts one process off at a time, preferably while it holds a lock.
func (s *schedule) isolate(ctx context.Context) {
	random := rand.New(rand.NewPCG(s.seed, 1)) //nolint:gosec // nothing secret
	for {
		e := drawIsolation(random)
		sleep(ctx, e.pause)
		if ctx.Err() != nil {
			return
		}
		c := s.world.counters[random.IntN(len(s.world.counters))]
		if holder, ok := c.holder(); ok {
			e.whom[0] = holder
		}
		s.inject(ctx, e)
	}
}

func (s *schedule) inject(ctx context.Context, e *episode) {
	e.begun = time.Now()
	heal := e.fault.begin(s.world, e)
	sleep(ctx, e.length)
	heal()
	e.ended = time.Now()
	s.world.figures.injected(e.fault.name, e.ended.Sub(e.begun))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past = append(s.past, e)
}

// draw chooses a fault of a node: for all processes, half of them or one.
func draw(r *rand.Rand) *episode {
	e := &episode{
		fault:  &faults[r.IntN(len(faults))],
		node:   r.IntN(nodes),
		whom:   r.Perm(processes),
		pause:  time.Duration(r.Int64N(int64(300 * time.Millisecond))),
		length: drawLength(r),
		source: rand.NewPCG(r.Uint64(), r.Uint64()),
	}
	switch share := r.IntN(5); {
	case e.fault.server:
	case share < 2:
		e.whom = e.whom[:1]
	case share < 3:
		e.whom = e.whom[:processes/2]
	}
	return e
}

func drawIsolation(r *rand.Rand) *episode {
	return &episode{
		fault:  &isolation,
		node:   allNodes,
		whom:   []int{r.IntN(processes)},
		pause:  time.Duration(r.Int64N(int64(2 * time.Second))),
		length: drawLength(r),
	}
}

// drawLength returns a length between 100 ms and the longest, more often a
// short one.
func drawLength(r *rand.Rand) time.Duration {
	const shortest = 100 * time.Millisecond
	return time.Duration(float64(shortest) * math.Pow(float64(maxFault)/float64(shortest), r.Float64()))
}

func (e *episode) String() string {
	where := fmt.Sprintf("node %d", e.node)
	switch {
	case e.node == allNodes:
		where = fmt.Sprintf("process %d", e.whom[0])
	case len(e.whom) < processes:
		where += fmt.Sprintf(" for processes %v", e.whom)
	}
	return e.fault.name + ", " + where
}

// log prints the last episodes.
func (s *schedule) log(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.world.figures
	for _, e := range s.past {
		if time.Since(e.ended) > logged {
			continue
		}
		t.Logf("%9.3f to %9.3f  %v", f.at(e.begun).Seconds(), f.at(e.ended).Seconds(), e)
	}
}

// A budget keeps the faults of nodes to a minority, as each process sees them.
type budget struct {
	mu  sync.Mutex
	hit [processes][nodes]bool
}

// take reports whether there is room for an episode, and takes it.
func (b *budget) take(e *episode) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range e.whom {
		if b.hit[i][e.node] || b.count(i) >= minority {
			return false
		}
	}
	for _, i := range e.whom {
		b.hit[i][e.node] = true
	}
	return true
}

func (b *budget) giveBack(e *episode) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range e.whom {
		b.hit[i][e.node] = false
	}
}

// count returns how many nodes are affected for a process.
func (b *budget) count(process int) int {
	n := 0
	for _, hit := range b.hit[process] {
		if hit {
			n++
		}
	}
	return n
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
