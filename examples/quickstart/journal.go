package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/b0401464/redlock"
)

// A state is what a worker does at a moment.
type state uint8

const (
	idle state = iota
	waiting
	holding
	extended // holding a lock that was extended by hand
)

// A change is the moment at which a worker's state began. All moments are
// counted from the beginning of the run.
type change struct {
	at    time.Duration
	state state
}

// An event is worth a line. The picture shows only the notable ones: it tells
// the others by itself.
type event struct {
	at      time.Duration
	text    string
	notable bool
}

// A journal is what happened. It is safe for concurrent use, and nobody who
// writes in it waits for the screen.
type journal struct {
	mu      sync.Mutex
	title   string
	began   time.Time
	over    time.Duration // when the workers had stopped; 0 before
	changes [][]change    // by worker
	events  []event
	stopped time.Duration // when a node was stopped; 0 if none was
	down    []bool        // by node: it was stopped here

	inside   map[int]func() error // workers in their section, and the Err of its context
	sections []int                // by worker
	overlaps int
	lost     int
	longest  wait
	failures []failures // by node
}

type wait struct {
	worker int
	time   time.Duration
}

type failures struct {
	count int
	last  error
}

func newJournal(workers, nodes int) *journal {
	return &journal{
		began:    time.Now(),
		changes:  make([][]change, workers),
		inside:   make(map[int]func() error),
		sections: make([]int, workers),
		failures: make([]failures, nodes),
		down:     make([]bool, nodes),
	}
}

// begin sets the clock to zero.
func (j *journal) begin(title string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.title, j.began = title, time.Now()
}

// end is called when all workers have stopped.
func (j *journal) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.over = j.elapsed()
	for worker := range j.changes {
		j.change(worker, idle)
	}
}

func (j *journal) now() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.elapsed()
}

func (j *journal) elapsed() time.Duration {
	if j.over > 0 {
		return j.over
	}
	return time.Since(j.began)
}

// set notes that the worker is in another state now.
func (j *journal) set(worker int, to state) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.change(worker, to)
}

// change notes the new state and how long the worker waited before it, with or
// without getting the lock.
func (j *journal) change(worker int, to state) (waited time.Duration) {
	now := j.elapsed()
	if all := j.changes[worker]; len(all) > 0 && all[len(all)-1].state == waiting {
		waited = now - all[len(all)-1].at
		if waited > j.longest.time {
			j.longest = wait{worker, waited}
		}
	}
	j.changes[worker] = append(j.changes[worker], change{now, to})
	return waited
}

// enter begins a section; the returned function ends it. Two sections overlap
// if one begins while another one is neither over nor was told, by the end of
// its context, to be.
func (j *journal) enter(ctx context.Context, worker int) (leave func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for other, told := range j.inside {
		if told() == nil {
			j.overlaps++
			j.add(true, "OVERLAP: worker %d and worker %d are in their sections", worker+1, other+1)
		}
	}
	j.inside[worker] = ctx.Err
	j.sections[worker]++
	waited := j.change(worker, holding)
	j.add(false, "worker %d holds it (waited %v)", worker+1, round(waited))
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.inside, worker)
		j.change(worker, idle)
	}
}

// extend notes that the worker has extended its lock.
func (j *journal) extend(worker int, ttl time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.change(worker, extended)
	j.add(true, "worker %d extends it by hand: %v more from now on", worker+1, ttl)
}

// failed notes what With returned before the run was over.
func (j *journal) failed(worker int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if errors.Is(err, redlock.ErrLockLost) {
		j.lost++
	}
	j.add(true, "worker %d: %v", worker+1, err)
}

// nodeFailed counts an error of a node. The first one is an event, unless the
// node was stopped here.
func (j *journal) nodeFailed(node int, name string, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := &j.failures[node]
	f.count++
	f.last = err
	if f.count == 1 && !j.down[node] {
		j.add(true, "%s fails: %v", name, err)
	}
}

// nodeStopped notes that a node was stopped.
func (j *journal) nodeStopped(node int, name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.down[node] = true
	j.stopped = j.elapsed()
	j.add(true, "%s stopped: a majority is left", name)
}

// note adds a notable event.
func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.add(true, format, args...)
}

func (j *journal) add(notable bool, format string, args ...any) {
	j.events = append(j.events, event{j.elapsed(), fmt.Sprintf(format, args...), notable})
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
