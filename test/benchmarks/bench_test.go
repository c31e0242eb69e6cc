package benchmarks

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/benchmarks/internal/library"
	"github.com/b0401464/redlock/test/benchmarks/internal/report"
	"github.com/b0401464/redlock/test/servers"
)

var (
	wanted  = flag.String("cases", "", "cases to run, by how their names begin, separated by commas; all: every one")
	length  = flag.Duration("for", 0, "how long to measure each library in each round; 0: as the case says")
	rounds  = flag.Int("rounds", 0, "how many rounds to take the median of; 0: as the case says")
	results = flag.String("results", "results", "the directory of the results")
)

func TestMain(m *testing.M) {
	flag.Parse()
	servers.Silence()
	os.Exit(m.Run())
}

// ttl is that of every lock, unless a case says otherwise.
const ttl = 10 * time.Second

// A benchCase measures one thing.
type benchCase struct {
	name   string
	title  string
	length time.Duration // of a library's part of a round
	rounds int
	run    func(t *testing.T, r *run)
}

// all returns the cases in the order of the report.
func all() []benchCase {
	return slices.Concat(speedCases(), faultCases(), distanceCases(), curveCases(), waitingCases())
}

// order returns the names of the cases in that order.
func order() []string {
	var names []string
	for _, c := range all() {
		names = append(names, c.name)
	}
	return names
}

func (c *benchCase) isWanted() bool {
	for prefix := range strings.SplitSeq(*wanted, ",") {
		if prefix == "all" || prefix != "" && strings.HasPrefix(c.name, prefix) {
			return true
		}
	}
	return false
}

// TestBench runs the cases that were asked for, each on servers of its own, and
// renders all results that there are.
func TestBench(t *testing.T) {
	if *wanted == "" {
		t.Skip("for make bench, which says which cases to run")
	}
	require.NoError(t, os.MkdirAll(*results, 0o750))
	for _, c := range all() {
		if c.isWanted() {
			t.Run(c.name, c.measure)
		}
	}
	require.NoError(t, report.Render(*results, *results, order(), plots()))
	tables, err := filepath.Abs(filepath.Join(*results, report.Tables))
	require.NoError(t, err)
	t.Logf("tables and plots: %s", tables)
}

func (c *benchCase) measure(t *testing.T) {
	r := newRun(c)
	c.run(t, r)
	t.Logf("%s\n%s\n%s\n%s", r.result.Title, r.result.Table(), strings.Join(r.result.Remarks(), "\n"), r.result.Machine)
	require.NoError(t, r.result.Save(*results))
}

// A run is a case being measured.
type run struct {
	result *report.Result
	length time.Duration
	rounds int
}

func newRun(c *benchCase) *run {
	r := &run{length: c.length, rounds: c.rounds}
	if *length > 0 {
		r.length = *length
	}
	if *rounds > 0 {
		r.rounds = *rounds
	}
	r.result = &report.Result{
		Case: c.name, Title: c.title, Date: time.Now().UTC().Truncate(time.Second),
		Rounds: r.rounds, For: r.length.String(), Machine: report.ThisMachine(),
	}
	return r
}

func (r *run) note(text string) { r.result.Notes = append(r.result.Notes, text) }

// A subject is one library in one setup.
type subject struct {
	setup   string
	x       float64
	library library.Library
	measure func(t *testing.T, l library.Library, row *report.Row)
}

// interleave measures all subjects in turn, once in each round.
func (r *run) interleave(t *testing.T, subjects []subject) {
	t.Helper()
	for round := range r.rounds {
		for _, s := range subjects {
			row := r.result.Row(s.setup, s.library.Name, s.library.Settings)
			row.X = s.x
			begun := time.Now()
			s.measure(t, s.library, row)
			t.Logf("round %d of %d: %s, %s: %v", round+1, r.rounds, s.setup, s.library.Name, time.Since(begun).Round(time.Millisecond))
		}
	}
}
