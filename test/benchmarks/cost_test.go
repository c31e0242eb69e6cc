package benchmarks

import (
	"context"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/benchmarks/internal/library"
	"github.com/b0401464/redlock/test/benchmarks/internal/report"
)

const allocationTurns = 2000

// allocationsRun counts what one Lock and Unlock allocate in the whole process.
func allocationsRun(t *testing.T, r *run) {
	t.Helper()
	const count, bytes = "allocations", "memory"
	g := newRig(t, r, 5)
	r.result.Setup = "Nodes"
	r.result.Columns = []report.Column{{Name: count}, {Name: bytes, Unit: "bytes"}}
	r.result.For = strconv.Itoa(allocationTurns) + " turns"
	r.note("Of the whole process, the client included: what bare go-redis takes is in all of them but rueidislock. The mutexes of redsync are used again and not counted.")
	for _, nodes := range []int{1, 3, 5} {
		libraries := []library.Library{library.RedlockWithoutTelemetry(), library.Redlock(), library.Redsync()}
		if nodes == 1 {
			libraries = append(libraries, library.Redislock(), library.Rueidislock())
		}
		var subjects []subject
		for _, l := range append(libraries, library.Bare()) {
			subjects = append(subjects, subject{strconv.Itoa(nodes), 0, l, func(t *testing.T, l library.Library, row *report.Row) {
				t.Helper()
				lockers := open(t, l, g.addrs(nodes), 1, ttl)
				allocated, size := allocations(t, lockers[0].Mutex(keyOf(l, "resource")))
				row.Add(count, allocated)
				row.Add(bytes, size)
				shut(t, l, lockers)
				g.clean(t, l, row)
			}})
		}
		r.interleave(t, subjects)
	}
}

// allocations returns how often, and how many bytes, one Lock and Unlock
// allocate.
func allocations(t *testing.T, m library.Mutex) (count, bytes float64) {
	t.Helper()
	ctx := context.Background()
	turns := func(n int) {
		for range n {
			if err := m.Lock(ctx); err != nil {
				t.Fatal(err) // require would allocate
			}
			if err := m.Unlock(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	turns(allocationTurns / 10)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // as testing.AllocsPerRun does
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	turns(allocationTurns)
	runtime.ReadMemStats(&after)
	require.Greater(t, after.Mallocs, before.Mallocs)
	return float64((after.Mallocs - before.Mallocs) / allocationTurns), float64((after.TotalAlloc - before.TotalAlloc) / allocationTurns)
}
