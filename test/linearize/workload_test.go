//go:build linux

package linearize

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A tally is what came of a workload.
type tally struct {
	guard    guard
	sections int
	overlaps int // of sections, from the grant to the call of Unlock, whatever the lock said meanwhile
	added    int // elements that were told to be in the set
	lost     int // of those
	stops    int
}

// Only a fence keeps all that was written: a worker that is stopped behind its last look at the
// lock writes when another one has been there.
func TestAFenceLosesNothingWhereWorkersAreStopped(t *testing.T) {
	length, seed := settings(t)
	left := &result{Seed: seed, Length: (length / 5).String()}
	var table strings.Builder
	table.WriteString("| guard | sections | overlaps | added | lost | stops |\n|---|---|---|---|---|---|\n")
	for _, g := range []guard{nothingWritten, unguarded, byContext, byValid, byFence} {
		t.Run(string(g), func(t *testing.T) {
			c := count(t, g, seed, length/5)
			fmt.Fprintf(&table, "| %s | %d | %d | %d | %d | %d |\n", c.guard, c.sections, c.overlaps, c.added, c.lost, c.stops)
			left.Guards = append(left.Guards, guardResult{string(g), c.sections, c.overlaps, c.added, c.lost, c.stops})
			if g == byFence {
				assert.Positive(t, c.added)
				assert.Zero(t, c.lost)
			}
		})
	}
	t.Logf("\n%s", &table)
	writeResult(t, "workloads", left)
}

// count plays a workload. Whatever it writes, the locks themselves are those of the models.
func count(t *testing.T, g guard, seed uint64, length time.Duration) *tally {
	t.Helper()
	s, addr := ServeSets(t)
	r := &Run{Nodes: 3, Seed: seed, Length: length, Dir: t.TempDir(), Streams: stops(), Workload: &workload{g, addr}}
	h := r.Play(t)
	for _, v := range Check(h) {
		assert.Equal(t, porcupine.Ok, v.Result, "%v", v)
	}
	var names []string
	for i := range sets {
		names = append(names, nameOfSet(i))
	}
	assert.Empty(t, h.neverGranted(names))
	c := &tally{guard: g, stops: len(h.Faults), overlaps: h.overlaps()}
	for _, s := range h.Sections {
		if s.granted() {
			c.sections++
		}
	}
	events, err := readEvents(r.Dir)
	require.NoError(t, err)
	for i := range events {
		if e := &events[i]; e.What == Added && e.Result == OK {
			c.added++
			if !s.has(e.ID) {
				c.lost++
			}
		}
	}
	return c
}

// overlaps returns how many sections began before an earlier one of the resource had ended,
// as if nobody had looked at what the lock says.
func (h *History) overlaps() (n int) {
	until := make(map[string]int64)
	for _, e := range h.byGrant() {
		if e.from < until[e.resource] {
			n++
		}
		until[e.resource] = max(until[e.resource], e.to)
	}
	return n
}

type window struct {
	resource string
	from, to int64
}

// byGrant returns from when to when each lock was held by one who does not look at it, in the
// order of the grants.
func (h *History) byGrant() (all []window) {
	for _, s := range h.Sections {
		if !s.granted() {
			continue
		}
		for i := range s.Events {
			if s.Events[i].What == Unlock {
				all = append(all, window{s.Asked.Resource, s.Ended.T, s.Events[i].T})
			}
		}
	}
	slices.SortFunc(all, func(a, b window) int { return cmp.Compare(a.from, b.from) })
	return all
}
