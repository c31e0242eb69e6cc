package benchmarks

import (
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/benchmarks/internal/figures"
	"github.com/b0401464/redlock/test/benchmarks/internal/library"
	"github.com/b0401464/redlock/test/benchmarks/internal/report"
)

func distanceCases() []benchCase {
	return []benchCase{{
		"distance", "Distance: nodes behind a proxy that delays replies, 3 nodes, 1 caller", 2 * time.Second, 3,
		distanceRun,
	}}
}

// distances are how much the replies of three nodes are delayed.
var distances = []struct {
	name   string
	delays [3]time.Duration
}{
	{"1, 1, 1 ms", [3]time.Duration{1e6, 1e6, 1e6}},
	{"10, 10, 10 ms", [3]time.Duration{1e7, 1e7, 1e7}},
	{"80, 80, 80 ms", [3]time.Duration{8e7, 8e7, 8e7}},
	{oneFar, [3]time.Duration{1e6, 1e6, 8e7}},
}

// distanceRun compares Lock and Unlock with the round trip to the second nearest
// of three nodes, the least that a majority takes.
func distanceRun(t *testing.T, r *run) {
	t.Helper()
	const trip, lock, unlock, unlockTrips = "round trip", "Lock", "Unlock", "Unlock / round trip"
	g := newRig(t, r, 3)
	proxies, addrs := g.proxied(t)
	r.result.Setup = "Distance"
	r.result.Columns = []report.Column{
		{Name: trip, Unit: "s"},
		{Name: lock, Unit: "s"},
		{Name: colLockTrips},
		{Name: unlock, Unit: "s"},
		{Name: unlockTrips},
	}
	r.note("The round trip is the median of a PING to the second nearest node, through the same proxy.")
	for _, d := range distances {
		for i, p := range proxies {
			p.Latency(d.delays[i])
		}
		var subjects []subject
		for _, l := range append(tolerantLibraries(), library.Bare()) {
			subjects = append(subjects, subject{d.name, 0, l, func(t *testing.T, l library.Library, row *report.Row) {
				t.Helper()
				lockers := open(t, l, addrs, 1, ttl)
				nearest := roundTrip(t, addrs)
				took, _ := timeEach(r.length, fresh(l, lockers[0], 0), func(string) *report.Row { return row })
				row.Add(trip, nearest.Seconds())
				row.Add(lock, took[lock])
				row.Add(colLockTrips, took[lock]/nearest.Seconds())
				row.Add(unlock, took[unlock])
				row.Add(unlockTrips, took[unlock]/nearest.Seconds())
				shut(t, l, lockers)
				g.clean(t, l, row)
			}})
		}
		r.interleave(t, subjects)
	}
}

// roundTrip returns the median of a PING to the node that makes a majority with
// those that are nearer.
func roundTrip(t *testing.T, addrs []string) time.Duration {
	t.Helper()
	const pings = 15
	medians := make([]time.Duration, 0, len(addrs))
	for _, addr := range addrs {
		c := redis.NewClient(&redis.Options{Addr: addr})
		var took []time.Duration
		for range pings {
			begun := time.Now()
			require.NoError(t, c.Ping(t.Context()).Err())
			took = append(took, time.Since(begun))
		}
		require.NoError(t, c.Close())
		slices.Sort(took)
		medians = append(medians, figures.Percentile(took, 50))
	}
	slices.Sort(medians)
	return medians[len(medians)/2]
}
