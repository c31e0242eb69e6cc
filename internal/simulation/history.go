package simulation

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/b0401464/redlock"
)

// Stats counts what a history was made of.
type Stats struct {
	Locks       int           // granted
	Extensions  int           // that succeeded
	Commands    int           // that nodes have run
	Calls       int           // of the library on clients
	FailedCalls int           // that came back with an error of the network
	Faults      int           // besides what befell single messages
	Excused     int           // locks that a loss of data had left on less than a majority
	LeftBehind  int           // keys that outlived their lock, all of them explained
	Life        time.Duration // virtual time
	Waits       int           // for a lock after everything was healed
	WaitShare   float64       // the longest of them, as a share of its bound
}

// Add adds up what two histories were made of.
func (s *Stats) Add(t Stats) {
	s.Locks += t.Locks
	s.Extensions += t.Extensions
	s.Commands += t.Commands
	s.Calls += t.Calls
	s.FailedCalls += t.FailedCalls
	s.Faults += t.Faults
	s.Excused += t.Excused
	s.LeftBehind += t.LeftBehind
	s.Life += t.Life
	s.Waits += t.Waits
	s.WaitShare = max(s.WaitShare, t.WaitShare)
}

// A Result is what came of a history.
type Result struct {
	Seed       uint64
	Profile    string
	Nodes      int
	Violations []Violation
	Stats      Stats
	world      *world
}

// Log returns the part of the history that a violation is about.
func (r *Result) Log(v Violation) string { return r.world.excerpt(v) }

// Run runs the history of a seed and checks it. It is to be called in a bubble
// of testing/synctest, and leaves no goroutine in it.
func Run(seed uint64) *Result {
	w := newWorld(seed)
	random := w.random("history")
	for i := range w.profile.episodes {
		w.episode(i)
		time.Sleep(between(random, w.profile.gap[0], w.profile.gap[1]))
	}
	w.finish()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.check()
	w.stats.Life = time.Since(w.began)
	return &Result{
		Seed: seed, Profile: w.profile.name, Nodes: len(w.nodes), Violations: w.found, Stats: w.stats, world: w,
	}
}

// episode has all workers take locks while things go wrong, has them come to an
// end when everything is healed, and demands that a waiter then gets each lock.
func (w *world) episode(i int) {
	r := w.random("episode", i)
	ctx, calm := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, p := range w.processes {
		for n := range w.profile.workers {
			k := &worker{w: w, process: p, random: w.random("worker", i, p.id, n), episode: ctx}
			all.Go(func() {
				time.Sleep(evenly(k.random, 0, 100*ms))
				k.run(w.profile.locks)
			})
		}
	}
	length := between(r, 2*w.profile.lasting[0]+sec, 3*w.profile.lasting[1]+5*sec)
	var closing *process
	if chance(r, w.profile.habits.shuts) {
		closing = w.processes[r.IntN(len(w.processes))]
		time.AfterFunc(evenly(r, 0, length), func() { w.interrupt(closing, between(r, ms, 5*sec)) })
	}
	w.disturb(r, length)
	calm()
	w.await(r)
	all.Wait()
	w.quiet()
	if closing != nil {
		w.replace(closing)
	}
}

// interrupt shuts a process down without the patience to wait for its locks.
func (w *world) interrupt(p *process, patience time.Duration) {
	w.mu.Lock()
	w.log("process %d: Shutdown that waits for %v", p.id, patience)
	p.closing = true
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = p.locker.Shutdown(ctx)
}

// replace ends a process that was told to shut down, and begins another one.
func (w *world) replace(p *process) {
	w.shutdown(p)
	for i := range w.processes {
		if w.processes[i] == p {
			w.mu.Lock()
			w.processes[i] = newProcess(w)
			w.mu.Unlock()
		}
	}
}

// finish shuts every process down and lets the longest TTL pass.
func (w *world) finish() {
	for _, p := range w.processes {
		w.shutdown(p)
	}
	w.quiet()
	w.mu.Lock()
	rest := time.Until(w.lastStep)
	longest := w.longest
	w.mu.Unlock()
	// What is still on its way arrives, then what it has left runs out.
	time.Sleep(max(rest, 0) + time.Duration(float64(longest)*(1+2*maxSkew)) + time.Second)
	w.mu.Lock()
	w.checkEmpty()
	w.mu.Unlock()
	for _, n := range w.nodes {
		n.close()
	}
}

// await checks (d): everything is healed, and a waiter gets each lock within
// the bound.
func (w *world) await(r *rand.Rand) {
	var all sync.WaitGroup
	for _, resource := range w.resources {
		p := w.processes[r.IntN(len(w.processes))]
		w.mu.Lock()
		closing := p.closing
		w.mu.Unlock()
		if closing {
			continue
		}
		all.Go(func() { w.wait(p, resource) })
	}
	all.Wait()
}

func (w *world) wait(p *process, resource string) {
	const ttl = 5 * time.Second
	w.asks(ttl, 0)
	w.mu.Lock()
	pause := w.longest / 25
	bound := w.bound(pause)
	w.mu.Unlock()
	begin := time.Now()
	lock, err := p.locker.Lock(context.Background(), resource, ttl,
		redlock.WithRetry(redlock.Forever, pause), redlock.WithJitter(0), redlock.WithMaxWait(2*bound))
	waited := time.Since(begin)
	w.mu.Lock()
	w.stats.Waits++
	w.stats.WaitShare = max(w.stats.WaitShare, float64(waited)/float64(bound))
	if waited > bound || err != nil {
		w.violate("d", resource, begin, time.Now(),
			"process %d waited %v for %s after everything was healed, bound %v: %v", p.id, waited, resource, bound, err)
	}
	w.mu.Unlock()
	if err != nil {
		return
	}
	h := p.hold(lock, ttl)
	h.unlock()
	_ = lock.Unlock(context.Background())
}

// bound returns how long a waiter may have to wait once all faults are healed.
//
// The key of a lock that nobody unlocks, extended until its limit, or one that
// a copy of a command brings back late, lasts for the longest TTL by the slowest
// clock from then on. Where the waiter's own process
// has a call open on the resource, the next one waits for it: until the client
// gives the connection up that hangs, at most one dial and one read, and
// repeats it, after a pause of half a second at most. Then it takes an attempt,
// within a node timeout of at most a second, and a pause before it.
func (w *world) bound(pause time.Duration) time.Duration {
	const dial, read, backoff, attempt = 5 * sec, 5 * sec, 512 * ms, sec
	flight := max(time.Until(w.lastStep), time.Until(w.kept), 0)
	holder := time.Duration(float64(w.longest) * (1 + 2*maxSkew))
	return flight + holder + dial + read + backoff + 2*(attempt+pause)
}
