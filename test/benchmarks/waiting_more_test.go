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

// newcomersRun compares the waits of 16 workers without and with newcomers.
func newcomersRun(t *testing.T, r *run) {
	t.Helper()
	const alone, beside, ratio, worst = "wait p99 alone", "wait p99 with newcomers", "ratio", "longest wait with newcomers"
	const theirs = "newcomers' wait p99"
	g := newRig(t, r, 3)
	r.result.Setup = "Nodes"
	r.result.Columns = []report.Column{
		{Name: alone, Unit: "s"},
		{Name: beside, Unit: "s"},
		{Name: ratio},
		{Name: worst, Unit: "s", Worst: true},
		{Name: theirs, Unit: "s"},
		{Name: "newcomers' turns"},
		{Name: colOverlaps, Worst: true},
	}
	noteWaiting(r)
	r.note(fmt.Sprintf("The newcomers come every %v, %v apart, each with a Locker of its own, and lock once each.", newcomersRest, newcomersStep))
	var subjects []subject
	add := func(nodes int, libraries []library.Library) {
		for _, l := range libraries {
			subjects = append(subjects, subject{strconv.Itoa(nodes), 0, l, func(t *testing.T, l library.Library, row *report.Row) {
				t.Helper()
				c := crowd{nodes: nodes, lockers: contenders, workers: contenders, hold: time.Millisecond}
				quiet := g.crowd(t, l, c).run(t, r.length, row, contenders)
				c.late = newcomers
				all := g.crowd(t, l, c).run(t, r.length, row, contenders+newcomers)
				old, late := all.Part(0, contenders), all.Part(contenders, contenders+newcomers)
				turns, _, _ := late.Turns()
				p99, p99Quiet := old.Waits().P99.Seconds(), quiet.Waits().P99.Seconds()
				row.Add(alone, p99Quiet)
				row.Add(beside, p99)
				row.Add(ratio, p99/p99Quiet)
				row.Add(worst, old.Waits().Max.Seconds())
				row.Add(theirs, late.Waits().P99.Seconds())
				row.Add("newcomers' turns", float64(turns))
			}})
		}
	}
	add(3, majorityLibraries())
	add(1, singleLibraries())
	r.interleave(t, subjects)
}

// manyRun has ever more processes wait for one lock.
func manyRun(t *testing.T, r *run) {
	t.Helper()
	g := newRig(t, r, 5)
	r.result.Setup = "Nodes, processes"
	r.result.Columns = []report.Column{
		{Name: colRate},
		{Name: colScale},
		{Name: colP50, Unit: "s"},
		{Name: colP99, Unit: "s"},
		{Name: colMax, Unit: "s", Worst: true},
		{Name: colMost},
		{Name: colFewest},
		{Name: colCommands},
		{Name: colReads},
		{Name: colOverlaps, Worst: true},
	}
	noteWaiting(r)
	r.note("Commands are what the servers count, those that scripts run too; requests are reads of a socket.")
	var subjects []subject
	few := make(map[string]float64) // turns/s of 16, in this round
	for _, processes := range []int{16, 200, 1000} {
		add := func(nodes int, libraries []library.Library) {
			for _, l := range libraries {
				setup := fmt.Sprintf("%d, %d", nodes, processes)
				subjects = append(subjects, subject{setup, float64(processes), l, func(t *testing.T, l library.Library, row *report.Row) {
					t.Helper()
					w := g.crowd(t, l, crowd{nodes: nodes, lockers: processes, workers: processes, hold: 5 * time.Millisecond})
					all := w.run(t, r.length, row, processes)
					who := fmt.Sprint(nodes, l.Name)
					if processes == contenders {
						few[who] = all.Rate()
					}
					noteTurns(row, all)
					row.Add(colRate, all.Rate())
					row.Add(colScale, all.Rate()/few[who])
					row.Add(colCommands, w.cost.commands)
					row.Add(colReads, w.cost.reads)
				}})
			}
		}
		add(5, majorityLibraries())
		add(1, singleLibraries()[:3])
	}
	r.interleave(t, subjects)
}

// nobodyRun measures this library with and without the line, where nobody waits.
func nobodyRun(t *testing.T, r *run) {
	t.Helper()
	const each = "Lock+Unlock"
	g := newRig(t, r, 3)
	line, none := library.Redlock(), library.RedlockWithoutLine()
	r.result.Columns = []report.Column{
		{Name: each, Unit: "s"},
		{Name: "beside no line", Over: each, Base: none.Name},
		{Name: colReads},
		{Name: colOverlaps, Worst: true},
	}
	r.note("Two requests, one round trip for Lock and one for Unlock, is the least that there can be, but for a node that is behind: what has not been sent to it when the lock is released is dropped.")
	var subjects []subject
	for _, l := range []library.Library{none, line} {
		subjects = append(subjects, subject{"", 0, l, func(t *testing.T, l library.Library, row *report.Row) {
			t.Helper()
			w := g.crowd(t, l, crowd{nodes: 3, lockers: 1, workers: 1})
			all := w.run(t, r.length, row, 1)
			row.Add(each, perTurn(all))
			row.Add(colReads, w.cost.reads)
		}})
	}
	r.interleave(t, subjects)
}

// perTurn returns the seconds that a turn took a worker.
func perTurn(r load.Report) float64 { return float64(len(r.Workers)) / r.Rate() }
