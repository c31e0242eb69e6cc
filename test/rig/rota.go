package rig

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// A Rota is Lockers that take one lock again and again, and how long they wait for it.
type Rota struct {
	mu    sync.Mutex
	waits []time.Duration
	Turns []int
	stop  chan struct{}
	all   sync.WaitGroup
}

// StartRota has each of lockers lock resource again and again, for hold each time.
func StartRota(t *testing.T, lockers []*redlock.Locker, resource string, hold time.Duration) *Rota {
	t.Helper()
	s := &Rota{Turns: make([]int, len(lockers)), stop: make(chan struct{})}
	for i, l := range lockers {
		s.all.Go(func() {
			for !isOver(s.stop) {
				began := time.Now()
				k, err := l.Lock(context.Background(), resource, TTL, InTurn)
				if !assert.NoError(t, err) {
					return
				}
				s.mu.Lock()
				s.waits, s.Turns[i] = append(s.waits, time.Since(began)), s.Turns[i]+1
				s.mu.Unlock()
				time.Sleep(hold)
				_ = k.Unlock(context.Background())
			}
		})
	}
	return s
}

// Watch returns what the 99th percentile of the waits in the next d is, and how many turns
// those have had who had the most and the fewest.
func (s *Rota) Watch(t *testing.T, d time.Duration) (p99 time.Duration, most, fewest int) {
	t.Helper()
	s.mu.Lock()
	s.waits = nil
	clear(s.Turns)
	s.mu.Unlock()
	time.Sleep(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	require.NotEmpty(t, s.waits)
	slices.Sort(s.waits)
	p99, most, fewest = s.waits[len(s.waits)*99/100], slices.Max(s.Turns), slices.Min(s.Turns)
	t.Logf("%d turns, %d to %d each; waits: p99 %v, longest %v", len(s.waits), fewest, most, p99, s.waits[len(s.waits)-1])
	return p99, most, fewest
}

// End ends the rota and waits for the Lockers.
func (s *Rota) End() {
	close(s.stop)
	s.all.Wait()
}

func isOver(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
