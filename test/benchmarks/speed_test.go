package benchmarks

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/b0401464/redlock/test/benchmarks/internal/library"
	"github.com/b0401464/redlock/test/benchmarks/internal/load"
	"github.com/b0401464/redlock/test/benchmarks/internal/report"
)

// Columns of speed.
const (
	colEach    = "Lock+Unlock"
	colTimes   = "time beside redlock's"
	colLockP50 = "Lock p50"
	colLockP99 = "Lock p99"
	colFaster  = "redlock is as fast"
)

func speedCases() []benchCase {
	return []benchCase{
		{
			"speed-one", "Speed: 1 caller", 500 * time.Millisecond, 11,
			oneRun,
		},
		{
			"speed-fencing", "Speed: 1 caller, without and with a fencing token", 250 * time.Millisecond, 25,
			fencingRun,
		},
		{
			"speed-several", "Speed: 1 caller, several resources at once on 3 nodes", 500 * time.Millisecond, 9,
			severalRun,
		},
		{
			"speed-callers", "Speed: 64 and 512 callers, each with a resource of its own", time.Second, 7,
			callersRun,
		},
		{
			"speed-allocations", "Speed: allocations of one Lock and Unlock", 0, 1,
			allocationsRun,
		},
	}
}

// A steady load is callers that share one Locker and lock resources of their
// own. It is opened once and measured again and again.
type steady struct {
	locker  library.Locker
	workers []load.Worker
	section []load.Section
}

// warmUp is how long a steady load runs before it is first measured.
const warmUp = 200 * time.Millisecond

func (g *rig) steady(t *testing.T, l library.Library, nodes, callers int) *steady {
	t.Helper()
	s := &steady{locker: open(t, l, g.addrs(nodes), 1, ttl)[0], section: make([]load.Section, callers)}
	for i := range callers {
		m := s.locker.Mutex(keyOf(l, strconv.Itoa(i)))
		s.workers = append(s.workers, load.Worker{Mutex: load.Same(m), Section: &s.section[i]})
	}
	load.Run(warmUp, false, s.workers)
	return s
}

// run measures once, and notes everything but the columns of the case.
func (s *steady) run(d time.Duration, row *report.Row) load.Report {
	r := load.Run(d, false, s.workers)
	row.Fail(r.Errors())
	overlaps := 0
	for i := range s.section {
		overlaps += s.section[i].Overlaps()
	}
	row.Add(colOverlaps, float64(overlaps))
	return r
}

// steadySubjects returns subjects whose loads are opened when they are first
// measured, and what closes them.
func (g *rig) steadySubjects(r *run, setup string, x float64, nodes, callers int, libraries []library.Library, add func(load.Report, *report.Row)) (subjects []subject, end func(t *testing.T)) {
	loads := make(map[string]*steady)
	for _, l := range libraries {
		subjects = append(subjects, subject{setup, x, l, func(t *testing.T, l library.Library, row *report.Row) {
			t.Helper()
			if loads[l.Name] == nil {
				loads[l.Name] = g.steady(t, l, nodes, callers)
			}
			before := g.processor(t)
			all := loads[l.Name].run(r.length, row)
			turns, _, _ := all.Turns()
			g.noteProcessor(t, row, before, turns)
			add(all, row)
		}})
	}
	return subjects, func(t *testing.T) {
		t.Helper()
		for _, l := range libraries {
			shut(t, l, []library.Locker{loads[l.Name].locker})
			g.clean(t, l, r.result.Row(setup, l.Name, l.Settings))
		}
	}
}

// oneRun has one caller lock and unlock.
func oneRun(t *testing.T, r *run) {
	t.Helper()
	g := newRig(t, r, 5)
	r.result.Setup = "Nodes"
	r.result.Columns = []report.Column{
		{Name: colEach, Unit: "s"},
		{Name: colTimes, Over: colEach, Base: library.Ours},
		{Name: colLockP50, Unit: "s"},
		{Name: colLockP99, Unit: "s"},
		{Name: colClient, Unit: "s"},
		{Name: colServer, Unit: "s"},
	}
	r.note(processorNote)
	for _, nodes := range []int{1, 3, 5} {
		libraries := []library.Library{library.Redlock(), library.Redsync(), library.RedsyncFailFast()}
		if nodes == 1 {
			libraries = []library.Library{library.Redlock(), library.Redsync(), library.Redislock(), library.Rueidislock()}
		}
		libraries = append(libraries, library.Bare())
		subjects, end := g.steadySubjects(r, strconv.Itoa(nodes), 0, nodes, 1, libraries, func(all load.Report, row *report.Row) {
			row.Add(colEach, perTurn(all))
			noteLock(row, all)
		})
		r.interleave(t, subjects)
		end(t)
	}
}

// fencingRun has one caller lock and unlock, without and with tokens.
func fencingRun(t *testing.T, r *run) {
	t.Helper()
	g := newRig(t, r, 5)
	plain, fenced := library.Redlock(), library.RedlockFenced()
	r.result.Setup = "Nodes"
	r.result.Columns = []report.Column{
		{Name: colEach, Unit: "s"},
		{Name: "time beside no token", Over: colEach, Base: plain.Name},
		{Name: colLockP50, Unit: "s"},
		{Name: "p50 beside no token", Over: colLockP50, Base: plain.Name},
		{Name: colClient, Unit: "s"},
		{Name: colServer, Unit: "s"},
	}
	r.note(processorNote)
	r.note("Both take one round trip for Lock and one for Unlock, which is the same command in both.")
	for _, nodes := range []int{1, 3, 5} {
		subjects, end := g.steadySubjects(r, strconv.Itoa(nodes), 0, nodes, 1, []library.Library{plain, fenced}, func(all load.Report, row *report.Row) {
			row.Add(colEach, perTurn(all))
			noteLock(row, all)
		})
		r.interleave(t, subjects)
		end(t)
	}
}

// severalRun has one caller lock and unlock a number of resources at once.
func severalRun(t *testing.T, r *run) {
	t.Helper()
	g := newRig(t, r, 3)
	plain, fenced := library.Redlock(), library.RedlockFenced()
	r.result.Setup = "Resources"
	r.result.Columns = []report.Column{
		{Name: colEach, Unit: "s"},
		{Name: "time beside no token", Over: colEach, Base: plain.Name},
		{Name: colLockP50, Unit: "s"},
		{Name: colClient, Unit: "s"},
		{Name: colServer, Unit: "s"},
	}
	r.note(processorNote)
	r.note("By LockAll, which with one resource is Lock. A turn is one Lock and one Unlock of all of them.")
	for _, n := range []int{1, 2, 16, 1000} {
		libraries := []library.Library{library.RedlockAll(plain, n), library.RedlockAll(fenced, n)}
		subjects, end := g.steadySubjects(r, strconv.Itoa(n), 0, 3, 1, libraries, func(all load.Report, row *report.Row) {
			row.Add(colEach, perTurn(all))
			noteLock(row, all)
		})
		r.interleave(t, subjects)
		end(t)
	}
}

func noteLock(row *report.Row, all load.Report) {
	waits := all.Waits()
	row.Add(colLockP50, waits.P50.Seconds())
	row.Add(colLockP99, waits.P99.Seconds())
}

// pipelinedLibraries are those of a process with many callers, each with and
// without pipelines where go-redis makes them.
func pipelinedLibraries(nodes int) []library.Library {
	all := []library.Library{
		library.RedlockPipelined(), library.Redlock(), library.RedsyncPipelined(), library.Redsync(),
		library.BarePipelined(), library.Bare(),
	}
	if nodes == 1 {
		all = append(all, library.RedislockPipelined(), library.Redislock(), library.Rueidislock())
	}
	return all
}

// callersRun has many callers lock and unlock.
func callersRun(t *testing.T, r *run) {
	t.Helper()
	g := newRig(t, r, 5)
	r.result.Setup = "Nodes, callers"
	r.result.Columns = []report.Column{
		{Name: colRate},
		{Name: colFaster, Over: colRate, Base: library.RedlockPipelined().Name, Inverse: true},
		{Name: colLockP50, Unit: "s"},
		{Name: colLockP99, Unit: "s"},
		{Name: colClient, Unit: "s"},
		{Name: colServer, Unit: "s"},
	}
	r.note(processorNote)
	r.note("What redlock is as fast as is redlock with WithAutoPipeline; 2.00× means twice the turns.")
	for _, nodes := range []int{1, 3, 5} {
		for _, callers := range []int{64, 512} {
			setup := fmt.Sprintf("%d, %d", nodes, callers)
			subjects, end := g.steadySubjects(r, setup, 0, nodes, callers, pipelinedLibraries(nodes), func(all load.Report, row *report.Row) {
				row.Add(colRate, all.Rate())
				noteLock(row, all)
			})
			r.interleave(t, subjects)
			end(t)
		}
	}
}
