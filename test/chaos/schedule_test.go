package chaos

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func newRandom(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) } //nolint:gosec // nothing secret

func TestASeedChoosesTheFaults(t *testing.T) {
	t.Parallel()
	a, b, other := newRandom(1), newRandom(1), newRandom(2)
	differs := false
	for range 100 {
		e := draw(a)
		require.Equal(t, e, draw(b))
		differs = differs || e.String() != draw(other).String()
		require.Equal(t, drawIsolation(a), drawIsolation(b))
		drawIsolation(other)
		require.LessOrEqual(t, e.length, maxFault)
		require.GreaterOrEqual(t, e.length, 100*time.Millisecond)
	}
	require.True(t, differs)
}

func TestNoProcessMissesMoreThanAMinority(t *testing.T) {
	t.Parallel()
	random := newRandom(1)
	var (
		b          budget
		active     []*episode
		most       int
		partitions int // moments at which processes miss different nodes
		kinds      = make(map[string]bool)
	)
	for range 2_000 {
		e := draw(random)
		for !b.take(e) {
			require.NotEmpty(t, active, "%v can never begin", e)
			b.giveBack(active[0])
			active = active[1:]
		}
		kinds[e.fault.name] = true
		active = append(active, e)
		all := make(map[int]bool)
		for _, missing := range affected(active) {
			most = max(most, len(missing))
			for node := range missing {
				all[node] = true
			}
		}
		require.LessOrEqual(t, most, minority)
		if len(all) > minority {
			partitions++
		}
	}
	require.Equal(t, minority, most)
	require.Positive(t, partitions)
	require.Len(t, kinds, len(faults))
}

// affected returns the nodes that each process misses.
func affected(active []*episode) (missing [processes]map[int]bool) {
	for _, e := range active {
		for _, i := range e.whom {
			if missing[i] == nil {
				missing[i] = make(map[int]bool)
			}
			missing[i][e.node] = true
		}
	}
	return missing
}
