package chaos

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/b0401464/redlock/test/faultproxy"
)

// A fault is something that can happen to a node or to ways to it.
type fault struct {
	name   string
	server bool // it happens to the node itself, and so to all processes
	begin  func(w *world, e *episode) (end func())
}

// faults are those that schedules choose from.
var faults = []fault{
	{name: "freeze", server: true, begin: freeze},
	{name: "kill", server: true, begin: kill},
	{name: "freeze and kill", server: true, begin: freezeAndKill},
	{name: "black hole", begin: blackHole},
	{name: "delay", begin: delay},
	{name: "cut", begin: cut},
	{name: "cut before apply", begin: perRequest(faultproxy.CutBeforeApply)},
	{name: "cut after apply", begin: perRequest(faultproxy.CutAfterApply)},
	{name: "lost reply", begin: perRequest(faultproxy.DropReply)},
	{name: "late copy", begin: lateCopy},
	{name: "refuse", begin: refuse},
}

// isolation cuts one process off from all nodes: it has no majority then, and
// has to know by itself when its locks end.
var isolation = fault{name: "isolation", begin: blackHole}

func freeze(w *world, e *episode) func() {
	s := w.servers[e.node]
	s.Freeze()
	return s.Thaw
}

func kill(w *world, e *episode) func() {
	s := w.servers[e.node]
	s.Kill()
	return s.Restart
}

// freezeAndKill has requests be lost that the server never read.
func freezeAndKill(w *world, e *episode) func() {
	s := w.servers[e.node]
	s.Freeze()
	return s.Restart
}

func blackHole(w *world, e *episode) func() {
	return w.onEach(e, (*way).swallow, (*way).restore)
}

// delay has replies come so late that calls give up on some of them.
func delay(w *world, e *episode) func() {
	d := time.Millisecond + time.Duration(rand.New(e.source).Int64N(int64(400*time.Millisecond))) //nolint:gosec // nothing secret
	return w.onEach(e,
		func(way *way) { way.Latency(d) },
		func(way *way) { way.Latency(0) })
}

// cut closes all connections, again and again.
func cut(w *world, e *episode) func() {
	random := rand.New(e.source) //nolint:gosec // nothing secret
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			for _, way := range w.ways(e) {
				way.Cut()
			}
			timer := time.NewTimer(time.Duration(random.Int64N(int64(200 * time.Millisecond))))
			select {
			case <-timer.C:
			case <-stop:
				timer.Stop()
				return
			}
		}
	})
	return func() {
		close(stop)
		wg.Wait()
	}
}

// perRequest has f happen to every third script or so.
func perRequest(f faultproxy.Fault) func(w *world, e *episode) func() {
	return func(w *world, e *episode) func() {
		return w.hook(e, func() faultproxy.Fault { return f })
	}
}

// lateCopy holds requests back, and applies them when everybody has given them
// up.
func lateCopy(w *world, e *episode) func() {
	ways, release, held := w.ways(e), make(chan struct{}), atomic.Int64{}
	before := lateReplies(ways)
	end := w.hook(e, func() faultproxy.Fault {
		held.Add(1)
		return faultproxy.Hold(release)
	})
	return func() {
		end()
		close(release)
		// The node counts as affected until they have been applied.
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if lateReplies(ways)-before >= int(held.Load()) {
				return
			}
		}
	}
}

func lateReplies(ways []*way) int {
	n := 0
	for _, way := range ways {
		n += len(way.LateReplies())
	}
	return n
}

// hook has what f returns happen to every third script or so.
func (w *world) hook(e *episode, f func() faultproxy.Fault) func() {
	var mu sync.Mutex
	random := rand.New(e.source) //nolint:gosec // nothing secret
	choose := faultproxy.OnlyLocks(func([]string) faultproxy.Fault {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(3) > 0 {
			return faultproxy.Pass
		}
		return f()
	})
	return w.onEach(e,
		func(way *way) { way.SetFault(choose) },
		func(way *way) { way.SetFault(nil) })
}

// refuse turns all dials away after a cut.
func refuse(w *world, e *episode) func() {
	return w.onEach(e,
		func(way *way) { way.Refuse(true); way.Cut() },
		func(way *way) { way.Refuse(false) })
}

// onEach calls begin with each way that an episode is about, and returns what
// calls end with each.
func (w *world) onEach(e *episode, begin, end func(*way)) func() {
	ways := w.ways(e)
	for _, way := range ways {
		begin(way)
	}
	return func() {
		for _, way := range ways {
			end(way)
		}
	}
}

// ways returns what an episode is about.
func (w *world) ways(e *episode) []*way {
	var all []*way
	for _, i := range e.whom {
		if e.node == allNodes {
			all = append(all, w.processes[i].ways...)
			continue
		}
		all = append(all, w.processes[i].ways[e.node])
	}
	return all
}
