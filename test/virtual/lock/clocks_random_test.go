package lock_test

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

// A machine is what the clocks of a process run on.
type machine struct {
	jump, stood atomic.Int64
	asleep      atomic.Int64 // since when it is suspended; 0 if it is not
}

// newMachine returns a machine for the Locker.
func newMachine(l *redlock.Locker) *machine {
	m := new(machine)
	seam.SetWallJump(l, func() time.Duration { return time.Duration(m.jump.Load()) })
	seam.SetStood(l, func() time.Duration {
		stood := m.stood.Load()
		if since := m.asleep.Load(); since != 0 {
			stood += time.Now().UnixNano() - since
		}
		return time.Duration(stood)
	})
	return m
}

// suspend has the monotonic clock stand still, or go on again.
func (m *machine) suspend(yes bool) {
	now := time.Now().UnixNano()
	if since := m.asleep.Load(); since != 0 {
		m.stood.Add(now - since)
		m.asleep.Store(0)
	}
	if yes {
		m.asleep.Store(now)
	}
}

// anything sets the clock, or suspends the machine, or wakes it up. Before that look is
// called: nobody can tell how long a machine was suspended whose clock was set back meanwhile,
// or before the next look.
func (m *machine) anything(r *rand.Rand, look func() bool) {
	look()
	far := r.Int64N(int64(time.Hour)) >> r.IntN(20)
	switch r.IntN(4) {
	case 0:
		m.suspend(false)
		m.jump.Add(-far)
	case 1:
		m.jump.Add(far)
	case 2:
		m.suspend(true)
	default:
		m.suspend(false)
	}
}

func TestNoLockOutlivesItsTimeWhateverTheClocksDo(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a seed gives one history
			l := rig.NewLocker(t, rig.New(t, 1))
			m := newMachine(l)
			for range 10 {
				lease := time.Duration(1+r.IntN(100)) * time.Second
				begun := time.Now()
				k, err := l.Lock(t.Context(), "a", lease)
				require.NoError(t, err, "seed %d", seed)
				held, cancel := k.Context(t.Context())
				for k.Valid() {
					require.LessOrEqual(t, time.Since(begun), lease, "seed %d", seed)
					time.Sleep(time.Duration(r.Int64N(int64(lease / 5))))
					m.anything(r, k.Valid)
				}
				assert.Error(t, held.Err())
				cancel()
				_ = k.Unlock(t.Context())
			}
		})
	}
}

func TestContextsEndWithinASecondWhateverTheClocksDo(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // likewise
			l := rig.NewLocker(t, rig.New(t, 1))
			m := newMachine(l)
			other, err := l.Lock(t.Context(), "b", rig.TTL)
			require.NoError(t, err)
			for range 10 {
				lease := time.Duration(2+r.IntN(100)) * time.Second
				k, err := l.Lock(t.Context(), "a", lease)
				require.NoError(t, err, "seed %d", seed)
				held, cancel := k.Context(t.Context())
				latest := time.NewTimer(lease + time.Second)
			waiting:
				for {
					next := time.NewTimer(time.Second + time.Duration(r.Int64N(int64(lease/5))))
					select {
					case <-held.Done(): // nobody has looked
						break waiting
					case <-latest.C:
						t.Fatalf("seed %d: the context of a lock of %v has not ended", seed, lease)
					case <-next.C:
						m.anything(r, other.Valid)
					}
				}
				cancel()
				_ = k.Unlock(t.Context())
			}
		})
	}
}
