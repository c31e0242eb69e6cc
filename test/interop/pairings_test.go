package interop

import (
	"flag"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

var sections = flag.Int("sections", 10_000, "how many sections each pairing of libraries enters in all")

const (
	contendTTL   = 30 * time.Second // nothing runs out, not even by the end of a pairing
	contendDelay = 2 * time.Millisecond
)

// contend has a worker of each of libraries contend for one lock until there
// have been so many sections.
func contend(t *testing.T, sections int, libraries ...library) *referee {
	t.Helper()
	return contendFor(t, sections, slices.Repeat([]string{"contended"}, len(libraries)), libraries...)
}

// contendFor is contend with keys of each worker's own, of which any two share one.
func contendFor(t *testing.T, sections int, keys []string, libraries ...library) *referee {
	t.Helper()
	n := startNodes(t)
	r := newReferee(sections, libraries)
	var g errgroup.Group
	begin := make(chan struct{})
	for i, l := range libraries {
		w := l.start(t, n.addrs())
		g.Go(func() error {
			<-begin
			defer r.stop() // the others, if this one fails
			return r.attend(w, keys[i], contendTTL, contendDelay)
		})
	}
	start := time.Now()
	close(begin)
	err := g.Wait()
	r.took = time.Since(start)
	require.NoError(t, err, "so far: %v", r)
	for key := range strings.SplitSeq(strings.Join(keys, ","), ",") {
		n.nowhere(t, key, contendTTL/3)
	}
	return r
}

func TestSectionsOfOtherLibrariesAndOursNeverOverlap(t *testing.T) {
	for _, theirs := range neighbours {
		t.Run(theirs.name, func(t *testing.T) {
			theirs.require(t)
			r := contend(t, *sections, ours, theirs, fenced, theirs)
			t.Log(r)
			assert.Zero(t, r.overlaps, r.first)
			assert.Equal(t, *sections, r.sections)
			assert.GreaterOrEqual(t, r.of(theirs).sections, *sections/4, "%s gets less than a quarter", theirs.name)
			assert.GreaterOrEqual(t, r.of(ours).sections+r.of(fenced).sections, *sections/4, "we get less than a quarter")
			for _, l := range []library{ours, fenced} {
				assert.GreaterOrEqual(t, r.of(l).sections, *sections/16, "%s gets less than a sixteenth", l.name)
			}
		})
	}
}

func TestTheRefereeSeesAWorkerThatLocksNothing(t *testing.T) {
	lawless := library{name: "lawless"}
	r := contend(t, 1000, lawless, ours, ours)
	t.Log(r)
	assert.Positive(t, r.overlaps)
}
