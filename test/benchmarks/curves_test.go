package benchmarks

import (
	"context"
	"math"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/b0401464/redlock/test/benchmarks/internal/library"
	"github.com/b0401464/redlock/test/benchmarks/internal/load"
	"github.com/b0401464/redlock/test/benchmarks/internal/report"
)

func curveCases() []benchCase {
	return []benchCase{
		{
			"curve-nodes", "Curve: 1 to 7 nodes, 1 caller", 500 * time.Millisecond, 7,
			nodesRun,
		},
		{
			"curve-callers", "Curve: 1 to 4,096 callers, 3 nodes, each with a resource of its own", time.Second, 5,
			manyCallersRun,
		},
		{
			"curve-held", "Curve: 1 to 100,000 locks held at once, 3 nodes, taken by 64 callers", 0, 3,
			heldRun,
		},
		{
			"curve-memory", "Memory of a held lock, 10,000 held", 0, 3,
			memoryRun,
		},
	}
}

// nodesRun has one caller lock on ever more nodes.
func nodesRun(t *testing.T, r *run) {
	t.Helper()
	const most = 7
	g := newRig(t, r, most)
	r.result.Setup = "Nodes"
	r.result.Columns = []report.Column{
		{Name: colEach, Unit: "s"},
		{Name: colTimes, Over: colEach, Base: library.Ours},
		{Name: colLockP99, Unit: "s"},
	}
	for nodes := 1; nodes <= most; nodes++ {
		libraries := []library.Library{library.Redlock(), library.Redsync(), library.Bare()}
		subjects, end := g.steadySubjects(r, strconv.Itoa(nodes), float64(nodes), nodes, 1, libraries, func(all load.Report, row *report.Row) {
			row.Add(colEach, perTurn(all))
			noteLock(row, all)
		})
		r.interleave(t, subjects)
		end(t)
	}
}

// manyCallersRun has ever more callers lock.
func manyCallersRun(t *testing.T, r *run) {
	t.Helper()
	g := newRig(t, r, 3)
	r.result.Setup = "Callers"
	r.result.Columns = []report.Column{
		{Name: colRate},
		{Name: colFaster, Over: colRate, Base: library.RedlockPipelined().Name, Inverse: true},
		{Name: colLockP50, Unit: "s"},
		{Name: colLockP99, Unit: "s"},
	}
	r.note("What redlock is as fast as is redlock with WithAutoPipeline; 2.00× means twice the turns.")
	for callers := 1; callers <= 4096; callers *= 4 {
		subjects, end := g.steadySubjects(r, strconv.Itoa(callers), float64(callers), 3, callers, pipelinedLibraries(3)[:5], func(all load.Report, row *report.Row) {
			row.Add(colRate, all.Rate())
			noteLock(row, all)
		})
		r.interleave(t, subjects)
		end(t)
	}
}

// holders is how many callers take the locks of a heap.
const holders = 64

// A heap is many locks held at once by one Locker.
type heap struct {
	mutexes        []library.Mutex
	locked, unlock time.Duration // how long all of it took
	bytes          float64       // of memory for each lock
	errors         map[string]int
}

// longTTL outlasts the taking of many locks.
const longTTL = 10 * time.Minute

// hold takes n locks and releases them.
func hold(t *testing.T, l library.Library, locker library.Locker, n int) heap {
	t.Helper()
	h := heap{mutexes: make([]library.Mutex, n), errors: make(map[string]int)}
	before := memory()
	h.locked = h.each("lock", func(i int) error {
		h.mutexes[i] = locker.Mutex(keyOf(l, strconv.Itoa(i)))
		return h.mutexes[i].Lock(context.Background())
	})
	h.bytes = (memory() - before) / float64(n)
	h.unlock = h.each("unlock", func(i int) error { return h.mutexes[i].Unlock(context.Background()) })
	return h
}

// each calls f for every lock and returns how long that took.
func (h *heap) each(op string, f func(i int) error) time.Duration {
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := time.Now()
	for w := range holders {
		wg.Go(func() {
			for i := w; i < len(h.mutexes); i += holders {
				if err := f(i); err != nil {
					mu.Lock()
					h.errors[load.Text(op, err)]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// memory returns the bytes of what is reachable and of stacks.
func memory() float64 {
	runtime.GC()
	runtime.GC() // what the first one took from pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

// heldRun has ever more locks held at once.
func heldRun(t *testing.T, r *run) {
	t.Helper()
	const unlock, bytes = "unlocks/s", "memory of a lock"
	g := newRig(t, r, 3)
	r.result.Setup = "Locks"
	r.result.For = "all locks once"
	r.result.Columns = []report.Column{{Name: colTaken}, {Name: unlock}, {Name: bytes, Unit: "bytes"}}
	r.note("The TTL is 10 minutes. Memory is told from 1,000 locks up.")
	for n := 1; n <= 100_000; n *= 10 {
		var subjects []subject
		for _, l := range []library.Library{library.RedlockPipelined(), library.RedsyncPipelined(), library.BarePipelined()} {
			subjects = append(subjects, subject{strconv.Itoa(n), float64(n), l, func(t *testing.T, l library.Library, row *report.Row) {
				t.Helper()
				h := g.hold(t, l, 3, n, row)
				row.Add(colTaken, float64(n)/h.locked.Seconds())
				row.Add(unlock, float64(n)/h.unlock.Seconds())
				if n < 1000 {
					h.bytes = math.NaN()
				}
				row.Add(bytes, h.bytes)
			}})
		}
		r.interleave(t, subjects)
	}
}

// memoryRun measures the memory of a held lock.
func memoryRun(t *testing.T, r *run) {
	t.Helper()
	const bytes, locks = "memory of a lock", 10_000
	g := newRig(t, r, 3)
	r.result.Setup = "Nodes"
	r.result.For = "all locks once"
	r.result.Columns = []report.Column{{Name: bytes, Unit: "bytes"}}
	r.note("Heap and stacks of the process; the mutex with its key, which a user has to keep, is part of it.")
	var subjects []subject
	for _, nodes := range []int{1, 3} {
		libraries := []library.Library{library.Redlock(), library.Redsync()}
		if nodes == 1 {
			libraries = append(libraries, library.Redislock(), library.Rueidislock())
		}
		for _, l := range libraries {
			subjects = append(subjects, subject{strconv.Itoa(nodes), 0, l, func(t *testing.T, l library.Library, row *report.Row) {
				t.Helper()
				row.Add(bytes, g.hold(t, l, nodes, locks, row).bytes)
			}})
		}
	}
	r.interleave(t, subjects)
}

// hold takes and releases n locks with a Locker that has done so before: pools
// and maps are as full as they get.
func (g *rig) hold(t *testing.T, l library.Library, nodes, n int, row *report.Row) heap {
	t.Helper()
	lockers := open(t, l, g.addrs(nodes), 1, longTTL)
	hold(t, l, lockers[0], min(n, 1000))
	h := hold(t, l, lockers[0], n)
	row.Fail(h.errors)
	shut(t, l, lockers)
	g.clean(t, l, row)
	return h
}
