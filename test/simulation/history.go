package simulation

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// live plays the history.
func (w *world) live() {
	random := w.random("history")
	for i := range w.profile.episodes {
		w.episode(i)
		time.Sleep(between(random, quietest[0], quietest[1]))
	}
	for _, p := range w.processes {
		w.shutdown(p)
	}
	w.quiet()
	w.expire()
	for _, n := range w.nodes {
		n.close()
	}
}

// quietest is how long nothing happens between two episodes: connections grow
// too old, and are replaced.
var quietest = [2]time.Duration{10 * time.Minute, 4 * time.Hour}

// episode has all workers take locks while things go wrong. When everything is
// healed they come to an end, and waiters are to get each lock.
func (w *world) episode(i int) {
	r := w.random("episode", i)
	ctx, heal := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	for _, p := range w.processes {
		life, end := context.WithCancel(ctx)
		defer context.AfterFunc(p.life, end)()
		for n := range w.profile.workers {
			k := &worker{w: w, process: p, random: w.random("worker", i, p.id, n), several: w.random("several", i, p.id, n), panics: w.random("panicking", i, p.id, n), fails: w.random("failing", i, p.id, n), writes: w.random("writing", i, p.id, n), episode: life}
			workers.Go(func() {
				time.Sleep(evenly(k.random, 0, 100*ms))
				k.run(w.profile.locks)
			})
		}
	}
	length := between(r, 2*w.profile.lasting[0]+sec, 3*w.profile.lasting[1]+5*sec)
	w.close(r, length)
	w.erase(w.random("erase", i), length)
	w.stops(w.random("stops", i), length)
	w.leaps(w.random("leaps", i), length)
	w.failOvers(w.random("fail over", i), length)
	w.disturb(r, length)
	heal()
	if d := w.profile.keeps; d != 0 {
		time.Sleep(d + d/50 + 2*sec) // by slow clocks, and in whole seconds
	}
	w.await(r)
	workers.Wait()
	w.quiet()
	for i, p := range w.processes {
		if p.closing {
			w.shutdown(p)
			w.replace(i)
		}
	}
}

// close has a process be shut down within the episode, by chance, by somebody
// without the patience to wait for its locks.
func (w *world) close(r *rand.Rand, length time.Duration) {
	if !chance(r, w.profile.habits.shuts) {
		return
	}
	p, patience := w.processes[r.IntN(len(w.processes))], between(r, ms, 5*sec)
	time.AfterFunc(evenly(r, 0, length), func() {
		w.mu.Lock()
		w.log("process %d: Shutdown that waits for %v", p.id, patience)
		p.closing = true
		w.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = p.locker.Shutdown(ctx)
	})
}

// replace begins another process in the place of one that is shut down.
func (w *world) replace(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.processes[i] = newProcess(w)
}
