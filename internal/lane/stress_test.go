package lane_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/lane"
)

func TestManyCallersAtOnceLeaveNothingOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			callers = 64
			nodes   = 3
		)
		table := lane.NewTable(nodes)
		var wg sync.WaitGroup
		for seed := range uint64(callers) {
			wg.Go(func() {
				s := stress{table: table, random: rand.New(rand.NewPCG(seed, 2))} //nolint:gosec // repeatable on purpose
				for range 50 {
					s.lock()
				}
				s.wg.Wait()
			})
		}
		wg.Wait()
		assert.Zero(t, table.Open())
		requireClosed(t, table.Idle())
		requireNoFurther(t, table, nodes)
	})
}

// A stress is a caller that does everything there is to a table.
type stress struct {
	table  *lane.Table
	random *rand.Rand
	wg     sync.WaitGroup
}

// lock takes a series from its acquire to its release.
func (s *stress) lock() {
	var resources []string
	for _, r := range s.random.Perm(5)[:1+s.random.IntN(3)] {
		resources = append(resources, fmt.Sprint("resource", r))
	}
	tr := s.table.NewSeries(resources...)
	s.send(&tr, lane.Acquire)
	for range s.random.IntN(4) {
		time.Sleep(time.Duration(s.random.Int64N(int64(timeout))))
		s.send(&tr, lane.Follow)
		_, _ = tr.Pending(), s.table.Open()
	}
	s.send(&tr, lane.Release)
	s.table.Idle()
}

// send has each node answer, fail or go silent after a while.
func (s *stress) send(tr *lane.Series, kind lane.Kind) {
	places := tr.Take(kind, timeout, nil)
	for node := range places {
		p := &places[node]
		if !p.Taken() {
			continue
		}
		latency := time.Duration(s.random.Int64N(int64(timeout)))
		answered := s.random.IntN(4) > 0
		if node == 0 { // mostly silent
			latency, answered = 5*latency, s.random.IntN(200) == 0
		}
		s.wg.Go(func() {
			if await(p) {
				time.Sleep(latency)
				p.Done(answered)
			}
		})
	}
}

// requireNoFurther demands that each node, once silent, takes exactly as many
// calls as the limit allows: none is still counted.
func requireNoFurther(t *testing.T, table *lane.Table, nodes int) {
	t.Helper()
	sent := 0
	ask := func() []lane.Place {
		sent++
		tr := table.NewSeries(fmt.Sprint("another", sent))
		return tr.Take(lane.Acquire, timeout, nil)
	}
	places := ask()
	for i := range places {
		places[i].Done(true)
	}
	ask()
	time.Sleep(timeout)
	for range lane.Limit {
		for node, places := 0, ask(); node < len(places); node++ {
			require.Truef(t, places[node].Taken(), "node %d", node)
		}
	}
	for node, places := 0, ask(); node < len(places); node++ {
		require.Equalf(t, lane.Full, places[node].Reason(), "node %d", node)
	}
	require.Equal(t, (1+lane.Limit)*nodes, table.Open())
}
