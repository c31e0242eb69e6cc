package benchmarks

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/b0401464/redlock/test/benchmarks/internal/library"
	"github.com/b0401464/redlock/test/benchmarks/internal/load"
	"github.com/b0401464/redlock/test/benchmarks/internal/report"
)

const (
	contenders = 16
	newcomers  = 8

	// How long newcomers rest between their locks: until this library has
	// forgotten that the resource is contended.
	newcomersRest = 1500 * time.Millisecond
	newcomersStep = time.Millisecond
)

// Columns of waiting.
const (
	colTurns    = "turns"
	colRate     = "turns/s"
	colP50      = "wait p50"
	colP99      = "wait p99"
	colMax      = "longest wait"
	colMost     = "most turns"
	colFewest   = "fewest turns"
	colUneven   = "most / fewest"
	colOverlaps = "overlaps"
	colCommands = "commands a turn and node"
	colReads    = "requests a turn and node"
	colScale    = "turns/s beside 16"
)

func waitingCases() []benchCase {
	return []benchCase{
		{
			"waiting-goroutines", "Waiting: 16 goroutines of one process, hold 1 ms", 10 * time.Second, 3,
			waitingRun(1),
		},
		{
			"waiting-processes", "Waiting: 16 processes, hold 1 ms", 10 * time.Second, 3,
			waitingRun(contenders),
		},
		{
			"waiting-newcomers", "Waiting: 16 processes, and 8 more that lock once now and then, hold 1 ms", 10 * time.Second, 3,
			newcomersRun,
		},
		{
			"waiting-many", "Waiting: 16, 200 and 1,000 processes for one lock, hold 5 ms", 10 * time.Second, 3,
			manyRun,
		},
		{
			"waiting-nobody", "Waiting: what it costs where nobody waits, 1 caller, 3 nodes", 2 * time.Second, 9,
			nobodyRun,
		},
	}
}

// majorityLibraries lock on several nodes, singleLibraries on one.
func majorityLibraries() []library.Library {
	return []library.Library{library.Redlock(), library.Redsync()}
}

func singleLibraries() []library.Library {
	return []library.Library{library.Redlock(), library.Redislock(), library.Rueidislock(), library.RueidislockMajority()}
}

// waitingRun has 16 workers contend, that share a number of Lockers.
func waitingRun(processes int) func(*testing.T, *run) {
	return func(t *testing.T, r *run) {
		t.Helper()
		g := newRig(t, r, 3)
		r.result.Setup = "Nodes"
		r.result.Columns = []report.Column{
			{Name: colTurns},
			{Name: "turns beside redlock's", Over: colTurns, Base: library.Ours},
			{Name: colP50, Unit: "s"},
			{Name: colP99, Unit: "s"},
			{Name: colMax, Unit: "s", Worst: true},
			{Name: colMost},
			{Name: colFewest},
			{Name: colUneven},
			{Name: colOverlaps, Worst: true},
		}
		noteWaiting(r)
		var subjects []subject
		add := func(nodes int, libraries []library.Library) {
			for _, l := range libraries {
				subjects = append(subjects, subject{strconv.Itoa(nodes), 0, l, func(t *testing.T, l library.Library, row *report.Row) {
					t.Helper()
					w := g.crowd(t, l, crowd{nodes: nodes, lockers: processes, workers: contenders, hold: time.Millisecond})
					noteTurns(row, w.run(t, r.length, row, contenders))
				}})
			}
		}
		add(3, majorityLibraries())
		add(1, singleLibraries())
		r.interleave(t, subjects)
	}
}

func noteWaiting(r *run) {
	r.note("Waits that the end of a run cut off count for the longest wait only: where some never get the lock, the percentiles are of those who do.")
	r.note("redislock and rueidislock lock on one node; the 3 keys that are the default of rueidislock are on that one.")
}

func noteTurns(row *report.Row, all load.Report) {
	turns, most, fewest := all.Turns()
	waits := all.Waits()
	row.Add(colTurns, float64(turns))
	row.Add(colP50, waits.P50.Seconds())
	row.Add(colP99, waits.P99.Seconds())
	row.Add(colMax, waits.Max.Seconds())
	row.Add(colMost, float64(most))
	row.Add(colFewest, float64(fewest))
	row.Add(colUneven, float64(most)/float64(fewest))
}

// A crowd is workers that contend for one lock.
type crowd struct {
	nodes   int
	lockers int // that the workers share
	workers int
	hold    time.Duration
	late    int // workers more, with Lockers of their own, that come now and then
}

// A contest is a crowd that is ready to begin.
type contest struct {
	rig     *rig
	library library.Library
	lockers []library.Locker
	workers []load.Worker
	section *load.Section
	nodes   int
	cost    traffic // of the last run
}

func (g *rig) crowd(t *testing.T, l library.Library, c crowd) *contest {
	t.Helper()
	w := &contest{rig: g, library: l, section: new(load.Section), nodes: c.nodes}
	w.lockers = open(t, l, g.addrs(c.nodes), c.lockers+c.late, ttl)
	for i := range c.workers + c.late {
		locker := w.lockers[i%c.lockers]
		var rest func(context.Context, int)
		if i >= c.workers {
			n := i - c.workers
			locker, rest = w.lockers[c.lockers+n], restOf(n)
		}
		w.workers = append(w.workers, load.Worker{
			Mutex: load.Same(locker.Mutex(keyOf(l, "contended"))), Section: w.section, Hold: c.hold, Rest: rest,
		})
	}
	return w
}

// restOf returns how the n-th newcomer rests: all come together, a step apart.
func restOf(n int) func(context.Context, int) {
	start := time.Now()
	return func(ctx context.Context, i int) {
		due := start.Add(time.Duration(i+1)*newcomersRest + time.Duration(n)*newcomersStep)
		timer := time.NewTimer(time.Until(due))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// run has the workers contend, and gives up the Lockers. It returns what the
// first few workers did.
func (w *contest) run(t *testing.T, d time.Duration, row *report.Row, first int) load.Report {
	t.Helper()
	before := w.rig.traffic(t)
	report := load.Run(d, true, w.workers)
	turns, _, _ := report.Turns()
	w.cost = w.rig.traffic(t).since(before, turns, w.nodes)
	shut(t, w.library, w.lockers)
	w.rig.clean(t, w.library, row)
	row.Fail(report.Errors())
	row.Add(colOverlaps, float64(w.section.Overlaps()))
	return report.Part(0, first)
}
