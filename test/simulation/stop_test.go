package simulation

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stops has the process be stopped for a second.
func (v *village) stops(late bool) {
	v.do(func() {
		v.world.heals = time.Now().Add(time.Hour)
		v.process.stop(sec, late)
	})
}

func TestAProcessThatIsStoppedSendsAndHearsNothing(t *testing.T) {
	inVillage(t, func(v *village) {
		require.NoError(v, v.client.Set(v.Context(), "r", "before", 0).Err())
		v.stops(false)
		begin := time.Now()
		done := make(chan error)
		go func() { done <- v.client.Set(v.Context(), "r", "after", 0).Err() }()
		time.Sleep(sec / 2)
		has, err := v.node.redis.Get("r")
		require.NoError(v, err)
		assert.Equal(v, "before", has)
		require.NoError(v, <-done)
		assert.Greater(v, time.Since(begin), sec)
	})
}

func TestAProcessThatIsStoppedBeyondItsLockSeesThatAtItsFirstLook(t *testing.T) {
	for _, late := range []bool{false, true} {
		inVillage(t, func(v *village) {
			v.process.clock.set(v.process.locker)
			lock, err := v.process.locker.Lock(v.Context(), "r", 500*ms)
			require.NoError(v, err)
			ctx, stop := lock.Context(v.Context())
			defer stop()
			v.stops(late)
			time.Sleep(sec - time.Nanosecond)
			select {
			case <-ctx.Done():
				assert.False(v, late, "its timers had to be late")
			default:
				assert.True(v, late, "its timers had to be in time")
			}
			assert.Equal(v, late, lock.Valid(), "a clock that stands still")
			time.Sleep(time.Nanosecond)
			v.process.gate()
			assert.False(v, lock.Valid())
			assert.Error(v, ctx.Err())
			_ = lock.Unlock(v.Context())
		})
	}
}

func TestAWallClockThatJumpsAheadEndsALockAndOneThatIsSetBackDoesNot(t *testing.T) {
	for by, valid := range map[time.Duration]bool{-time.Hour: true, 4 * sec: true, 6 * sec: false} {
		inVillage(t, func(v *village) {
			v.process.clock.set(v.process.locker)
			lock, err := v.process.locker.Lock(v.Context(), "r", 5*sec)
			require.NoError(v, err)
			v.do(func() { v.process.leap(by) })
			assert.Equal(v, valid, lock.Valid(), "%v", by)
			time.Sleep(5 * sec)
			assert.False(v, lock.Valid())
			_ = lock.Unlock(v.Context())
		})
	}
}

func TestAReplicaThatIsBehindLosesALockAndHasOneAgainThatWasReleased(t *testing.T) {
	inVillage(t, func(v *village) {
		old, err := v.process.locker.Lock(v.Context(), "old", 10*sec)
		require.NoError(v, err)
		v.world.resources = []string{"old", "new"}
		v.do(v.node.copies)
		require.NoError(v, old.Unlock(v.Context()))
		lock, err := v.process.locker.Lock(v.Context(), "new", 10*sec)
		require.NoError(v, err)
		h := v.process.hold(lock, 10*sec, 0)
		v.do(func() { v.node.takeOver(ms) })
		time.Sleep(2 * ms)
		v.do(func() {
			assert.True(v, v.node.here["old"].restored)
			assert.Equal(v, 1, h.value.wiped(time.Now()))
		})
		assert.True(v, v.node.redis.Exists("old"))
		assert.False(v, v.node.redis.Exists("new"))
		_ = lock.Unlock(v.Context())
	})
}
