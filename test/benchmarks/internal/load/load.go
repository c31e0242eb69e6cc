// Package load has workers lock, work and unlock in a closed loop, and counts
// what came of it: every worker, every wait, every error.
package load

import (
	"context"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/b0401464/redlock/test/benchmarks/internal/figures"
	"github.com/b0401464/redlock/test/benchmarks/internal/library"
)

// errorPause keeps a worker whose calls fail at once from doing nothing else.
const errorPause = time.Millisecond

// A Section is what a lock protects. It notices when two are in it at once.
type Section struct{ inside, overlaps atomic.Int64 }

func (s *Section) enter() {
	if s.inside.Add(1) != 1 {
		s.overlaps.Add(1)
	}
}

func (s *Section) leave() { s.inside.Add(-1) }

// Overlaps returns how often somebody entered while somebody else was inside.
func (s *Section) Overlaps() int { return int(s.overlaps.Load()) }

// A Worker is one caller.
type Worker struct {
	// Mutex returns what to lock next, for the i-th time.
	Mutex   func(i int) library.Mutex
	Section *Section
	Hold    time.Duration
	// Rest, if it is not nil, waits before the i-th time. It returns early when
	// ctx ends.
	Rest func(ctx context.Context, i int)
}

// Same returns a function that always returns m.
func Same(m library.Mutex) func(int) library.Mutex { return func(int) library.Mutex { return m } }

// A Tally is what one worker did.
type Tally struct {
	Waits      []time.Duration // for a lock that was got, in order
	Unfinished time.Duration   // the wait that the end of the run cut off; 0 if there was none
	Errors     map[string]int  // by their text without numbers
}

// A Report is what all workers did.
type Report struct {
	Workers []Tally
	Took    time.Duration // until the last worker was done
}

// Run has all workers work for d. If cut is set, those still waiting then give
// up; otherwise they finish what they have begun.
func Run(d time.Duration, cut bool, workers []Worker) Report {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var over atomic.Bool
	report := Report{Workers: make([]Tally, len(workers))}
	var wg sync.WaitGroup
	start := time.Now()
	for i := range workers {
		wg.Go(func() { workers[i].run(ctx, &over, &report.Workers[i]) })
	}
	timer := time.AfterFunc(d, func() {
		over.Store(true)
		if cut {
			cancel()
		}
	})
	defer timer.Stop()
	wg.Wait()
	report.Took = time.Since(start)
	return report
}

func (w *Worker) run(ctx context.Context, over *atomic.Bool, t *Tally) {
	for i := 0; !over.Load(); i++ {
		if w.Rest != nil {
			if w.Rest(ctx, i); over.Load() {
				return
			}
		}
		w.turn(ctx, w.Mutex(i), t)
	}
}

// turn locks, holds and unlocks once. The release does not depend on the end of
// the run.
func (w *Worker) turn(ctx context.Context, m library.Mutex, t *Tally) {
	start := time.Now()
	err := m.Lock(ctx)
	wait := time.Since(start)
	switch {
	case err != nil && ctx.Err() != nil:
		t.Unfinished = wait
		return
	case err != nil:
		t.fail("lock", err)
		return
	}
	w.Section.enter()
	if w.Hold > 0 {
		time.Sleep(w.Hold)
	}
	w.Section.leave()
	t.Waits = append(t.Waits, wait)
	if err := m.Unlock(context.WithoutCancel(ctx)); err != nil {
		t.fail("unlock", err)
	}
}

var number = regexp.MustCompile(`[0-9]+(\.[0-9]+)*`)

// maxText is how much of an error's text tells it from others.
const maxText = 160

// Text returns what tells an error of an operation from others: what it says,
// without numbers, which differ from port to port.
func Text(op string, err error) string {
	text := op + ": " + number.ReplaceAllString(err.Error(), "#")
	return text[:min(len(text), maxText)]
}

func (t *Tally) fail(op string, err error) {
	if t.Errors == nil {
		t.Errors = make(map[string]int)
	}
	t.Errors[Text(op, err)]++
	time.Sleep(errorPause)
}

// Turns returns how many locks were got, by all, by whoever got most and by
// whoever got fewest.
func (r *Report) Turns() (all, most, fewest int) {
	for i := range r.Workers {
		n := len(r.Workers[i].Waits)
		if all += n; i == 0 {
			most, fewest = n, n
		}
		most, fewest = max(most, n), min(fewest, n)
	}
	return all, most, fewest
}

// Rate returns the turns per second.
func (r *Report) Rate() float64 {
	all, _, _ := r.Turns()
	return float64(all) / r.Took.Seconds()
}

// Waits are how long callers waited for a lock.
type Waits struct{ P50, P99, P999, Max time.Duration }

// Waits returns how long callers waited. Waits that the end of the run cut off
// count for the longest one only: how long they would have been nobody knows.
func (r *Report) Waits() Waits {
	var all []time.Duration
	var cut time.Duration
	for i := range r.Workers {
		all = append(all, r.Workers[i].Waits...)
		cut = max(cut, r.Workers[i].Unfinished)
	}
	slices.Sort(all)
	return Waits{
		P50:  figures.Percentile(all, 50),
		P99:  figures.Percentile(all, 99),
		P999: figures.Percentile(all, 99.9),
		Max:  max(figures.Percentile(all, 100), cut),
	}
}

// Errors returns the errors of all workers.
func (r *Report) Errors() map[string]int {
	all := make(map[string]int)
	for i := range r.Workers {
		for text, n := range r.Workers[i].Errors {
			all[text] += n
		}
	}
	return all
}

// Part returns the report of some of the workers.
func (r *Report) Part(from, to int) Report { return Report{Workers: r.Workers[from:to], Took: r.Took} }
