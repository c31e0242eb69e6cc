package clock_test

import (
	"sync"
	"sync/atomic"
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
	jump = -time.Hour
	since := c.Now().Since(start)
	assert.GreaterOrEqual(t, since, time.Duration(0))
	assert.Less(t, since, time.Hour)
	jump = 0
	assert.GreaterOrEqual(t, c.Now().Since(start), time.Hour)
}

func TestTheLargerStepsOfBothClocksAddUp(t *testing.T) {
	const s, h = time.Second, time.Hour
	for _, tt := range []struct {
		name  string
		jumps []time.Duration // a second after the other
		want  time.Duration
	}{
		{"no jumps", []time.Duration{0, 0, 0}, 3 * s},
		{"the wall clock is set back, and the machine is suspended", []time.Duration{-h, -h / 2}, 2*s + h/2},
		{"the machine is suspended, and the wall clock is set back", []time.Duration{h / 2, -h}, 2*s + h/2},
		{"it is suspended twice", []time.Duration{h, 2 * h}, 2*s + 2*h},
		{"the wall clock is set back and right again", []time.Duration{-h, 0}, 2*s + h},
		{"it is set ahead and right again, over and over", []time.Duration{h, 0, h, 0}, 4*s + 2*h},
		{"it falls back slowly, and the machine is suspended", []time.Duration{-s / 2, -s, -3 * s / 2, h}, 4*s + h + 3*s/2},
		{"it falls back by what reading it may take", []time.Duration{-time.Millisecond, 0, -time.Millisecond, 0}, 4 * s},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var jump time.Duration
				c := clock.Clock{Jump: func() time.Duration { return jump }}
				start := c.Now()
				for _, jump = range tt.jumps {
					time.Sleep(s)
					c.Now()
				}
				assert.Equal(t, tt.want, c.Now().Since(start))
			})
		})
	}
}

func TestALookThatStandsStillBetweenBothClocksAddsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		c := clock.Clock{Jump: func() time.Duration {
			if looks++; looks%2 == 0 { // the wall clock was read long before the monotonic one
				return -time.Minute
			}
			return 0
		}}
		start := c.Now()
		for range 100 {
			c.Now()
		}
		assert.Zero(t, c.Now().Since(start))
	})
}

func TestManyLooksAtTheSystemClocksAddNothing(t *testing.T) {
	t.Parallel()
	var c clock.Clock
	for range 100 {
		c.Now() // the first ones set it right
	}
	start, began := c.Now(), time.Now()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100_000 {
				c.Now()
			}
		})
	}
	all.Wait()
	passed := c.Now().Since(start)
	assert.Less(t, passed, time.Since(began)*101/100+10*time.Millisecond, "what reading takes does not add up")
}

func TestEveryJumpIsCountedOnceHoweverManyLook(t *testing.T) {
	var jump atomic.Int64
	c := clock.Clock{Jump: func() time.Duration { return time.Duration(jump.Load()) }}
	start, began := c.Now(), time.Now()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			last := start
			for range 20_000 {
				now := c.Now()
				if now.Since(last) < 0 {
					t.Error("a moment before the last one")
				}
				last = now
			}
		})
	}
	all.Go(func() {
		for range 100 {
			jump.Add(int64(time.Hour))
			c.Now()
			jump.Add(-int64(time.Hour))
			c.Now()
		}
	})
	all.Wait()
	since, took := c.Now().Since(start), time.Since(began)
	assert.GreaterOrEqual(t, since, 100*time.Hour)
	assert.Less(t, since, 100*time.Hour+took+time.Second)
}

func BenchmarkNow(b *testing.B) {
	var c clock.Clock
	for b.Loop() {
		c.Now()
	}
}

func BenchmarkNowInParallel(b *testing.B) {
	var c clock.Clock
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Now()
		}
	})
}

func BenchmarkTimeNow(b *testing.B) {
	for b.Loop() {
		_ = time.Now()
	}
}
