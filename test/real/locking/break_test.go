package locking_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A turn is one lock of those that are broken while they are replaced. Only every second
// one may be.
type turn struct {
	number int64
	mark   string
}

// takeTurns locks and unlocks until stop is closed. What it offers is broken at once, and it
// unlocks while that is under way, of which pace tells how long it takes. A lock that was not
// offered is not lost.
func takeTurns(t *testing.T, l *redlock.Locker, turns, pace *atomic.Int64, offers chan<- turn, stop <-chan struct{}) (broken int) {
	t.Helper()
	defer rig.Drain(t, l)
	for {
		select {
		case <-stop:
			return broken
		default:
		}
		lock, err := l.Lock(t.Context(), "k", rig.LongTTL, rig.InTurn)
		if !assert.NoError(t, err) {
			return broken
		}
		n := turns.Add(1)
		if n%2 == 0 {
			select {
			case offers <- turn{n, lock.Mark()}:
				time.Sleep(rand.N(max(time.Duration(pace.Load()), time.Millisecond))) //nolint:gosec // spreads the races
			default: // the one before is being broken
			}
		}
		switch err := lock.Unlock(t.Context()); {
		case err == nil:
		case errors.Is(err, redlock.ErrLockLost) && n%2 == 0:
			broken++
		default:
			assert.NoError(t, err, "turn %d", n)
		}
	}
}

func TestABreakNeverHitsTheNextHolder(t *testing.T) {
	for _, tt := range []struct{ nodes, races int }{{1, 8000}, {3, 2000}} {
		t.Run(fmt.Sprint(tt.nodes, " nodes"), func(t *testing.T) {
			if rig.RaceEnabled {
				tt.races /= 8
			}
			on := rig.NewReal(t, tt.nodes)
			on.LoadScripts(t)
			var turns, pace, broken atomic.Int64
			offers, stop := make(chan turn, 1), make(chan struct{})
			var takers sync.WaitGroup
			for _, l := range on.Others(t, 3) {
				takers.Go(func() { broken.Add(int64(takeTurns(t, l, &turns, &pace, offers, stop))) })
			}
			go func() { takers.Wait(); close(offers) }()
			breaker, others := on.Other(t), 0
			for race := range tt.races {
				k, goesOn := <-offers
				require.True(t, goesOn, "the takers have failed")
				if race%10 == 0 { // one that comes too late for sure
					require.Eventually(t, func() bool { return turns.Load() > k.number }, rig.LongTTL, time.Millisecond)
				}
				begun := time.Now()
				err := breaker.Break(t.Context(), "k", k.mark)
				pace.Store(int64(time.Since(begun)))
				if errors.Is(err, redlock.ErrOtherHolder) {
					others++
				} else {
					assert.NoError(t, err)
				}
			}
			close(stop)
			takers.Wait()
			rig.Drain(t, breaker)
			t.Logf("%d turns; of %d breaks %d removed the lock, %d found another one", turns.Load(), tt.races, broken.Load(), others)
			assert.Positive(t, broken.Load())
			assert.Positive(t, others)
			on.RequireEmpty(t, rig.LongTTL/3)
		})
	}
}
