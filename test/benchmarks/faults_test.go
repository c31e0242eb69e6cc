package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/b0401464/redlock/test/benchmarks/internal/figures"
	"github.com/b0401464/redlock/test/benchmarks/internal/library"
	"github.com/b0401464/redlock/test/benchmarks/internal/load"
	"github.com/b0401464/redlock/test/benchmarks/internal/report"
	"github.com/b0401464/redlock/test/faultproxy"
)

func faultCases() []benchCase {
	return []benchCase{
		{
			"faults-delayed", "Faults: each reply delayed by 50 ms with a probability of 1 %, 5 nodes, 1 caller", 10 * time.Second, 3,
			delayedRun,
		},
		{
			"faults-frozen", "Faults: 1 of 5 nodes frozen, 1 caller", 2 * time.Second, 3,
			frozenRun,
		},
	}
}

// tolerantLibraries are those that are used where nodes fail or are far away.
func tolerantLibraries() []library.Library {
	return []library.Library{library.Redlock(), library.Redsync(), library.RedsyncFailFast()}
}

// proxied puts a proxy in front of each server.
func (g *rig) proxied(t *testing.T) (proxies []*faultproxy.Proxy, addrs []string) {
	t.Helper()
	for _, s := range g.servers {
		p := faultproxy.New(t, s.Addr())
		proxies = append(proxies, p)
		addrs = append(addrs, p.Addr())
	}
	return proxies, addrs
}

// fresh returns a function that returns a mutex of a new key each time, so that
// no turn has to do with what is left of the turn before.
func fresh(l library.Library, locker library.Locker, caller int) func(i int) library.Mutex {
	run := rand.Uint32() //nolint:gosec // no secret
	return func(i int) library.Mutex {
		return locker.Mutex(keyOf(l, fmt.Sprintf("%08x %d %d", run, caller, i)))
	}
}

// delayedRun measures the slowest locks where replies are late now and then.
func delayedRun(t *testing.T, r *run) {
	t.Helper()
	const callers, delay, share = 1, 50 * time.Millisecond, 0.01
	const samples = "locks"
	g := newRig(t, r, 5)
	proxies, addrs := g.proxied(t)
	r.result.Columns = []report.Column{
		{Name: colLockP50, Unit: "s"},
		{Name: colLockP99, Unit: "s"},
		{Name: "p99 beside redlock's", Over: colLockP99, Base: library.Ours},
		{Name: colLockP999, Unit: "s"},
		{Name: "p99.9 beside redlock's", Over: colLockP999, Base: library.Ours},
		{Name: samples},
	}
	r.note("Each lock is of a key of its own. Through a proxy in the same process, which costs all of them the same.")
	var subjects []subject
	for _, l := range append(tolerantLibraries(), library.Bare()) {
		subjects = append(subjects, subject{"", 0, l, func(t *testing.T, l library.Library, row *report.Row) {
			t.Helper()
			lockers := open(t, l, addrs, 1, ttl)
			workers := make([]load.Worker, callers)
			for i := range workers {
				workers[i] = load.Worker{Mutex: fresh(l, lockers[0], i), Section: new(load.Section)}
			}
			load.Run(warmUp, false, workers)
			for i := range workers {
				workers[i].Mutex = fresh(l, lockers[0], i)
			}
			for _, p := range proxies {
				p.SetFault(func([]string) faultproxy.Fault {
					if rand.Float64() < share { //nolint:gosec // no secret
						return faultproxy.Delay(delay)
					}
					return faultproxy.Pass
				})
			}
			all := load.Run(r.length, false, workers)
			for _, p := range proxies {
				p.SetFault(nil)
			}
			turns, _, _ := all.Turns()
			noteLock(row, all)
			row.Add(colLockP999, all.Waits().P999.Seconds())
			row.Add(samples, float64(turns))
			row.Fail(all.Errors())
			shut(t, l, lockers)
			g.clean(t, l, row)
		}})
	}
	r.interleave(t, subjects)
}

// operations are what frozenRun times.
var operations = []struct {
	name string
	call func(ctx context.Context, m library.Mutex) error
}{
	{"Lock", func(ctx context.Context, m library.Mutex) error { return m.Lock(ctx) }},
	{"Extend", func(ctx context.Context, m library.Mutex) error { return m.Extend(ctx) }},
	{"Unlock", func(ctx context.Context, m library.Mutex) error { return m.Unlock(ctx) }},
}

// leastTurns is how often timeEach runs what takes longer than its time: redsync waits for
// five seconds in each operation while a node is frozen.
const leastTurns = 5

// timeEach runs all operations one after the other, on a new key each time, for d and
// leastTurns times at least, and returns the median of each and how often it ran.
func timeEach(d time.Duration, next func(i int) library.Mutex, rowOf func(op string) *report.Row) (median map[string]float64, turns int) {
	took := make(map[string][]time.Duration)
	for start := time.Now(); turns < leastTurns || time.Since(start) < d; turns++ {
		m := next(turns)
		for _, op := range operations {
			begun := time.Now()
			err := op.call(context.Background(), m)
			if errors.Is(err, errors.ErrUnsupported) {
				continue
			}
			took[op.name] = append(took[op.name], time.Since(begun))
			if err != nil {
				rowOf(op.name).Fail(map[string]int{load.Text(op.name, err): 1})
			}
		}
	}
	median = make(map[string]float64)
	for op, all := range took {
		slices.Sort(all)
		median[op] = figures.Percentile(all, 50).Seconds()
	}
	return median, turns
}

// frozenRun compares the operations before and after a node is frozen.
func frozenRun(t *testing.T, r *run) {
	t.Helper()
	const healthy, ratio, samples = "healthy", "frozen / healthy", "samples while frozen"
	g := newRig(t, r, 5)
	r.result.Setup = "Operation"
	r.result.Columns = []report.Column{
		{Name: healthy, Unit: "s"},
		{Name: colFrozen, Unit: "s"},
		{Name: ratio},
		{Name: samples},
	}
	r.note("The node is stopped by SIGSTOP: connections stay open and nothing is answered. go-redis has its default time-outs.")
	libraries := slices.Insert(tolerantLibraries(), 1, library.RedlockPipelined())
	for _, op := range operations { // the order of the rows
		for _, l := range libraries {
			r.result.Row(op.name, l.Name, l.Settings)
		}
	}
	var subjects []subject
	for _, l := range libraries {
		subjects = append(subjects, subject{operations[0].name, 0, l, func(t *testing.T, l library.Library, _ *report.Row) {
			t.Helper()
			rowOf := func(op string) *report.Row { return r.result.Row(op, l.Name, l.Settings) }
			lockers := open(t, l, g.addrs(5), 1, ttl)
			before, _ := timeEach(r.length, fresh(l, lockers[0], 0), rowOf)
			g.servers[4].Freeze()
			after, turns := timeEach(r.length, fresh(l, lockers[0], 0), rowOf)
			g.servers[4].Thaw()
			for _, op := range operations {
				row := rowOf(op.name)
				row.Add(healthy, before[op.name])
				row.Add(colFrozen, after[op.name])
				row.Add(ratio, after[op.name]/before[op.name])
				row.Add(samples, float64(turns))
			}
			shut(t, l, lockers)
			g.clean(t, l, rowOf("Unlock"))
		}})
	}
	r.interleave(t, subjects)
}
