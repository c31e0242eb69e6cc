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
	dead     // crashed: its lock has not run out yet
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
	marks   []mark
	down    []bool // by node: it is frozen or was stopped, here
	frozen  *faulty
	stopped *faulty
	crash   *crash // nil: no worker crashed
	freed   time.Duration

	inside   map[int]func() error // workers in their section, and the Err of its context
	sections []int                // by worker
	overlaps int
	lost     int
	longest  wait
	failures []failures // by node
}

// A mark is a moment that the picture shows in all rows.
type mark struct {
	at     time.Duration
	label  string
	colour colour
}

// A faulty node is one that was frozen or stopped here.
type faulty struct {
	node      int
	gate      bool            // it kept the line of those who wait
	at, over  time.Duration   // over is 0 while it is so
	handOvers []time.Duration // of each turn that began meanwhile: how long a worker waited for the lock when it was free
}

// A crash is a worker that ended with the lock.
type crash struct {
	worker int
	at     time.Duration
	next   int // the worker that had the lock after it; -1 before
	after  time.Duration
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
	j.took(worker)
	waited := j.change(worker, holding)
	j.add(false, "worker %d holds it (waited %v)", worker+1, round(waited))
	return sync.OnceFunc(func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.inside, worker)
		j.change(worker, idle)
		j.freed = j.elapsed()
	})
}

// took notes what the turn of a worker that has just got the lock tells of the
// crash, and of nodes that are faulty. It is called before the worker's state changes.
func (j *journal) took(worker int) {
	now := j.elapsed()
	if c := j.crash; c != nil && c.next < 0 {
		c.next, c.after = worker, now
	}
	began := j.freed
	if all := j.changes[worker]; len(all) > 0 {
		began = max(began, all[len(all)-1].at)
	}
	for _, f := range []*faulty{j.frozen, j.stopped} {
		if f != nil && f.over == 0 {
			f.handOvers = append(f.handOvers, now-began)
		}
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

// nodeFrozen notes that a node was frozen. The returned function notes that it
// answers again.
func (j *journal) nodeFrozen(node int, name string, gate bool) (thawed func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.down[node] = true
	f := &faulty{node: node, gate: gate, at: j.elapsed()}
	j.frozen = f
	j.marks = append(j.marks, mark{f.at, fmt.Sprintf("node %d frozen", node+1), blue})
	j.add(true, "%s frozen: it does not answer any more", name)
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		f.over = j.elapsed()
		j.add(true, "%s answers again", name)
	}
}

// nodeStopped notes that a node was stopped.
func (j *journal) nodeStopped(node int, name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.down[node] = true
	j.stopped = &faulty{node: node, at: j.elapsed()}
	j.marks = append(j.marks, mark{j.stopped.at, fmt.Sprintf("node %d stopped", node+1), red})
	j.add(true, "%s stopped: a majority is left", name)
}

// crashed notes that a worker has crashed with the lock.
func (j *journal) crashed(worker int, ttl time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.change(worker, dead)
	j.crash = &crash{worker: worker, at: j.elapsed(), next: -1}
	j.add(true, "worker %d crashes with the lock: it ends by its TTL of %v", worker+1, ttl)
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
