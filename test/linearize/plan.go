//go:build linux

package linearize

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// An episode is one fault of a plan.
type episode struct {
	fault  *fault
	pause  time.Duration // before it
	length time.Duration
	random *rand.Rand // for what else there is to choose
}

// A stream is faults of one sort, one after the other. Those of several streams happen at
// the same time.
type stream struct {
	faults      []fault
	pause       time.Duration // between two of them, at most
	least, most time.Duration // that one lasts
}

// A plan is what faults happen, in which order and for how long, by a seed.
type plan struct {
	streams []stream
	seed    uint64

	mu   sync.Mutex
	past []Fault
}

// run has faults happen to the world until ctx ends, and returns when everything is well.
func (p *plan) run(ctx context.Context, w *world) {
	var wg sync.WaitGroup
	for i := range p.streams {
		s := &p.streams[i]
		random := rand.New(rand.NewPCG(p.seed, uint64(i)+1)) //nolint:gosec // nothing secret
		wg.Go(func() {
			for {
				e := s.next(random)
				sleep(ctx, e.pause)
				if ctx.Err() != nil {
					return
				}
				p.inject(ctx, w, e)
			}
		})
	}
	wg.Wait()
}

func (s *stream) next(r *rand.Rand) *episode {
	return &episode{
		fault:  &s.faults[r.IntN(len(s.faults))],
		pause:  time.Duration(r.Int64N(int64(s.pause))),
		length: time.Duration(float64(s.least) * math.Pow(float64(s.most)/float64(s.least), r.Float64())),
		random: rand.New(rand.NewPCG(r.Uint64(), r.Uint64())), //nolint:gosec // nothing secret
	}
}

func (p *plan) inject(ctx context.Context, w *world, e *episode) {
	from := monotonic()
	end := e.fault.begin(w, e.random)
	sleep(ctx, e.length)
	end()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.past = append(p.past, Fault{e.fault.name, from, monotonic()})
}

// some returns some of n things: often one, and at times all.
func some(n int, r *rand.Rand) []int {
	all := r.Perm(n)
	switch share := r.IntN(10); {
	case share < 5:
		return all[:1]
	case share < 8:
		return all[:max(1, (n-1)/2)] // the minority of an odd number
	default:
		return all[:1+r.IntN(n)]
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
