package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/clock"
)

func TestSinceIsTheLargerOfWhatBothClocksSay(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after time.Duration // how far the wall clock is off
		want          time.Duration
	}{
		{"the clocks agree", 0, 0, 3 * time.Second},
		{"the wall clock is off by the same all the time", time.Hour, time.Hour, 3 * time.Second},
		{"the wall clock jumps ahead, or the machine was suspended", 0, time.Hour, time.Hour + 3*time.Second},
		{"the wall clock jumps by the least there is", 0, 1, 3*time.Second + 1},
		{"the wall clock jumps back", 0, -time.Hour, 3 * time.Second},
		{"the wall clock is set right from ahead", time.Hour, 0, 3 * time.Second},
		{"the wall clock is set right from behind", -time.Minute, 0, time.Minute + 3*time.Second},
		{"the wall clock jumps back to before 1970", 0, -100 * 365 * 24 * time.Hour, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				jump := tt.before
				c := clock.Clock{Jump: func() time.Duration { return jump }}
				start := c.Now()
				time.Sleep(3 * time.Second)
				jump = tt.after
				assert.Equal(t, tt.want, c.Now().Since(start))
			})
		})
	}
}

func TestZeroClockReadsTheSystemClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock.Clock
		start := c.Now()
		assert.Zero(t, c.Now().Since(start))
		time.Sleep(3 * time.Second)
		assert.Equal(t, 3*time.Second, c.Now().Since(start))
		assert.Zero(t, start.Since(start))
	})
}

func TestNoTimeHasPassedSinceALaterReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock.Clock
		start := c.Now()
		time.Sleep(time.Second)
		assert.Equal(t, -time.Second, start.Since(c.Now()))
	})
}

func TestAddIsAMomentOfTheMonotonicClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.Clock{Jump: func() time.Duration { return time.Hour }}
		end := c.Now().Add(10 * time.Second)
		assert.Equal(t, 10*time.Second, time.Until(end), "a wall clock that is off does not move it")
		time.Sleep(4 * time.Second)
		assert.Equal(t, 6*time.Second, time.Until(end))
	})
}

func TestAddCarriesAMonotonicReading(t *testing.T) {
	t.Parallel()
	var c clock.Clock // outside a bubble: there is no monotonic clock in one
	end := c.Now().Add(time.Hour)
	assert.NotEqual(t, end.Round(0), end)
	assert.Contains(t, end.String(), "m=")
}

func TestSinceCountsAJumpOfTheSystemsWallClock(t *testing.T) {
	t.Parallel()
	jump := time.Duration(0)
	c := clock.Clock{Jump: func() time.Duration { return jump }}
	start := c.Now()
	jump = time.Hour
	assert.GreaterOrEqual(t, c.Now().Since(start), time.Hour)
	jump = -time.Hour
	since := c.Now().Since(start)
	assert.GreaterOrEqual(t, since, time.Duration(0))
	assert.Less(t, since, time.Hour)
}
