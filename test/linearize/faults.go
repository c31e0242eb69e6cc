//go:build linux

package linearize

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/b0401464/redlock/test/faultproxy"
	"github.com/b0401464/redlock/test/servers"
)

// A fault is something that can happen. It begins, and what begin returns ends it.
type fault struct {
	name  string
	begin func(w *world, r *rand.Rand) (end func())
}

// Bounds of how long a fault lasts.
const (
	minFault = 30 * time.Millisecond
	maxFault = 2500 * time.Millisecond
)

// streams are the faults of servers, of workers and of the network.
func streams() []stream {
	return []stream{
		{pause: 1200 * time.Millisecond, least: minFault, most: maxFault, faults: []fault{
			{"servers stopped", onServers((*servers.Server).Freeze, (*servers.Server).Thaw)},
			{"servers killed", onServers((*servers.Server).Kill, (*servers.Server).Restart)},
			{"servers stopped and killed", onServers((*servers.Server).Freeze, (*servers.Server).Restart)},
		}},
		{pause: 800 * time.Millisecond, least: minFault, most: maxFault, faults: []fault{
			{"workers stopped", onWorkers((*worker).stop, (*worker).resume)},
			{"workers stopped", onWorkers((*worker).stop, (*worker).resume)},
			{"workers killed", onWorkers((*worker).kill, (*worker).start)},
			{"workers stopped and killed", onWorkers((*worker).stop, func(k *worker) { k.kill(); k.start() })},
		}},
		{pause: 600 * time.Millisecond, least: minFault, most: maxFault, faults: []fault{
			{"black hole", onWays(func(p *faultproxy.Proxy) { p.BlackHole(true) }, func(p *faultproxy.Proxy) { p.BlackHole(false) })},
			{"refused", onWays(func(p *faultproxy.Proxy) { p.Refuse(true); p.Cut() }, func(p *faultproxy.Proxy) { p.Refuse(false) })},
			{"cut", onWays((*faultproxy.Proxy).Cut, (*faultproxy.Proxy).Cut)},
			{"delayed", delayed},
			{"delayed and stopped", delayedAndStopped},
			{"delayed and stopped", delayedAndStopped},
			{"cut before apply", perRequest(faultproxy.CutBeforeApply)},
			{"cut after apply", perRequest(faultproxy.CutAfterApply)},
			{"reply lost", perRequest(faultproxy.DropReply)},
			{"late copy", lateCopy},
		}},
	}
}

func onServers(begin, end func(*servers.Server)) func(w *world, r *rand.Rand) func() {
	return func(w *world, r *rand.Rand) func() {
		var hit []*servers.Server
		for _, i := range some(len(w.servers), r) {
			hit = append(hit, w.servers[i])
		}
		return onAll(hit, begin, end)
	}
}

func onWorkers(begin, end func(*worker)) func(w *world, r *rand.Rand) func() {
	return func(w *world, r *rand.Rand) func() {
		var hit []*worker
		for _, i := range some(len(w.workers), r) {
			hit = append(hit, w.workers[i])
		}
		return onAll(hit, begin, end)
	}
}

func onWays(begin, end func(*faultproxy.Proxy)) func(w *world, r *rand.Rand) func() {
	return func(w *world, r *rand.Rand) func() { return onAll(w.someWays(r), begin, end) }
}

// onAll begins with all at once, and ends so.
func onAll[T any](hit []T, begin, end func(T)) func() {
	each := func(do func(T)) {
		var wg sync.WaitGroup
		for _, h := range hit {
			wg.Go(func() { do(h) })
		}
		wg.Wait()
	}
	each(begin)
	return func() { each(end) }
}

// someWays returns the ways of some workers to some servers.
func (w *world) someWays(r *rand.Rand) (all []*faultproxy.Proxy) {
	nodes := some(len(w.servers), r)
	for _, i := range some(len(w.workers), r) {
		for _, n := range nodes {
			all = append(all, w.workers[i].ways[n])
		}
	}
	return all
}

func delayed(w *world, r *rand.Rand) func() {
	ways := w.someWays(r)
	if r.IntN(2) == 0 {
		ways = w.waysOf(some(len(w.workers), r))
	}
	return slowed(ways, r)
}

func slowed(ways []*faultproxy.Proxy, r *rand.Rand) func() {
	d := time.Millisecond + time.Duration(r.Int64N(int64(50*time.Millisecond))) // most rounds are decided in time
	if r.IntN(4) == 0 {
		d *= 10 // and few
	}
	return onAll(ways, func(p *faultproxy.Proxy) { p.Latency(d) }, func(p *faultproxy.Proxy) { p.Latency(0) })
}

// delayedAndStopped stops workers while they wait for answers, which are there when they go on.
func delayedAndStopped(w *world, r *rand.Rand) func() {
	hit := some(len(w.workers), r)
	each := func(do func(*worker)) {
		for _, i := range hit {
			do(w.workers[i])
		}
	}
	restore := slowed(w.waysOf(hit), r)
	var wg sync.WaitGroup
	pause := time.Duration(r.Int64N(int64(100 * time.Millisecond)))
	wg.Go(func() {
		time.Sleep(pause)
		each((*worker).stop)
	})
	return func() {
		wg.Wait()
		each((*worker).resume)
		restore()
	}
}

// waysOf returns all ways of some workers.
func (w *world) waysOf(workers []int) (all []*faultproxy.Proxy) {
	for _, i := range workers {
		all = append(all, w.workers[i].ways...)
	}
	return all
}

// perRequest has f happen to every third command of a lock or so.
func perRequest(f faultproxy.Fault) func(w *world, r *rand.Rand) func() {
	return func(w *world, r *rand.Rand) func() { return choosing(w.someWays(r), r, f) }
}

func choosing(ways []*faultproxy.Proxy, r *rand.Rand, f faultproxy.Fault) func() {
	var mu sync.Mutex
	choose := faultproxy.OnlyLocks(func([]string) faultproxy.Fault {
		mu.Lock()
		defer mu.Unlock()
		if r.IntN(3) > 0 {
			return faultproxy.Pass
		}
		return f
	})
	return onAll(ways, func(p *faultproxy.Proxy) { p.SetFault(choose) }, func(p *faultproxy.Proxy) { p.SetFault(nil) })
}

// lateCopy holds commands to one server back, and applies them when everybody has given them
// up. On more than one at a time it could put the value of a lock that is over on a majority.
func lateCopy(w *world, r *rand.Rand) func() {
	node := r.IntN(len(w.servers))
	var ways []*faultproxy.Proxy
	for _, i := range some(len(w.workers), r) {
		ways = append(ways, w.workers[i].ways[node])
	}
	release := make(chan struct{})
	end := choosing(ways, r, faultproxy.Hold(release))
	return func() {
		end()
		close(release)
	}
}
