package alarm_test

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/alarm"
	"github.com/b0401464/redlock/internal/clock"
)

// A sleeper notes when it is woken.
type sleeper struct {
	alarm.Alarm
	mu    sync.Mutex
	woken []time.Time
	then  func()
}

func (s *sleeper) Wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.woken = append(s.woken, time.Now())
	if s.then != nil {
		s.then()
	}
}

func (s *sleeper) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.woken)
}

func TestEverySleeperIsWokenAtItsTimeWhateverIsSetMovedAndStopped(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a seed gives one history
			var c alarm.Clock
			sleepers := make([]sleeper, 20)
			want := make([][]time.Time, len(sleepers))
			next := make([]time.Time, len(sleepers))
			due := func() {
				for i, at := range next {
					if !at.IsZero() && !at.After(time.Now()) {
						want[i] = append(want[i], at)
						next[i] = time.Time{}
					}
				}
			}
			for range 500 {
				i, d := random.IntN(len(sleepers)), time.Duration(random.Int64N(int64(time.Second)))
				if random.IntN(3) == 0 {
					c.Stop(&sleepers[i].Alarm)
					next[i] = time.Time{}
				} else {
					c.Set(&sleepers[i].Alarm, &sleepers[i], d)
					next[i] = time.Now().Add(d)
				}
				time.Sleep(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
				synctest.Wait()
				due()
			}
			time.Sleep(time.Second)
			synctest.Wait()
			due()
			for i := range sleepers {
				require.Equal(t, want[i], sleepers[i].times(), "seed %d, sleeper %d", seed, i)
			}
		})
	}
}

func TestAnAlarmCanBeSetAgainFromItsWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c alarm.Clock
		var s sleeper
		s.then = func() {
			if len(s.woken) < 5 {
				c.Set(&s.Alarm, &s, time.Second)
			}
		}
		start := time.Now()
		c.Set(&s.Alarm, &s, 0)
		time.Sleep(time.Minute)
		require.Len(t, s.times(), 5)
		assert.Equal(t, 4*time.Second, s.times()[4].Sub(start))
	})
}

func TestStopTellsWhetherTheSleeperIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c alarm.Clock
		var s sleeper
		assert.False(t, c.Stop(&s.Alarm))
		c.Set(&s.Alarm, &s, time.Second)
		assert.True(t, c.Stop(&s.Alarm))
		assert.False(t, c.Stop(&s.Alarm))
		c.Set(&s.Alarm, &s, time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.False(t, c.Stop(&s.Alarm))
		assert.Len(t, s.times(), 1)
	})
}

func TestAClockThatNobodyUsesAnyMoreIsCollectedSoon(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, time.Second, time.Hour} {
		collected := make(chan struct{})
		func() {
			c, s := new(alarm.Clock), new(sleeper)
			runtime.AddCleanup(c, func(struct{}) { close(collected) }, struct{}{})
			c.Set(&s.Alarm, s, time.Hour)
			c.Set(&s.Alarm, s, d)
			c.Stop(&s.Alarm)
		}()
		require.Eventually(t, func() bool {
			runtime.GC()
			select {
			case <-collected:
				return true
			default:
				return false
			}
		}, 30*time.Second, 10*time.Millisecond, d)
	}
}

func TestSleepersOfOneMomentShareAGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c alarm.Clock
		var mu sync.Mutex
		awake, most := 0, 0
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			awake += n
			most = max(most, awake)
		}
		sleepers := make([]sleeper, 1000)
		for i := range sleepers {
			sleepers[i].then = func() {
				count(1)
				time.Sleep(time.Microsecond)
				count(-1)
			}
			c.Set(&sleepers[i].Alarm, &sleepers[i], time.Second)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Equal(t, 1, most)
		for i := range sleepers {
			require.Len(t, sleepers[i].times(), 1)
		}
	})
}

// parting returns a clock for alarms whose wall clock can be moved.
func parting() (by *clock.Clock, jump func(time.Duration)) {
	var ahead atomic.Int64
	by = &clock.Clock{Jump: func() time.Duration { return time.Duration(ahead.Load()) }}
	return by, func(d time.Duration) { ahead.Add(int64(d)) }
}

func TestAClockThatPartsWakesWithinASecondAllThatAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		by, jump := parting()
		c := alarm.Clock{By: by}
		sleepers := make([]sleeper, 10)
		for i := range sleepers {
			c.Set(&sleepers[i].Alarm, &sleepers[i], time.Duration(i+1)*time.Hour)
		}
		defer func() {
			for i := range sleepers {
				c.Stop(&sleepers[i].Alarm)
			}
		}()
		time.Sleep(time.Minute)
		jump(-24 * time.Hour)
		time.Sleep(time.Minute)
		assert.Empty(t, sleepers[0].times())
		jump(5 * time.Hour)
		time.Sleep(time.Second)
		synctest.Wait()
		for i := range sleepers {
			assert.Len(t, sleepers[i].times(), map[bool]int{true: 1}[i < 5], i)
		}
	})
}

func TestAnAlarmIsForItsMomentHoweverLateItIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		by, jump := parting()
		c := alarm.Clock{By: by}
		var far, soon, overdue sleeper
		c.Set(&far.Alarm, &far, time.Hour)
		defer c.Stop(&far.Alarm)
		due := by.Now().After(10 * time.Second)
		time.Sleep(9*time.Second + 100*time.Millisecond)
		c.SetAt(&soon.Alarm, &soon, due)
		jump(800 * time.Millisecond) // and the timer was set before
		c.SetAt(&overdue.Alarm, &overdue, due-1)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		assert.Len(t, soon.times(), 1)
		assert.Len(t, overdue.times(), 1)
	})
}

func TestOneTimerLooksAtTheClockForAllAlarms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		c := alarm.Clock{By: &clock.Clock{Jump: func() time.Duration { looks.Add(1); return 0 }}}
		sleepers := make([]sleeper, 1000)
		for i := range sleepers {
			c.Set(&sleepers[i].Alarm, &sleepers[i], time.Hour)
		}
		looks.Store(0)
		time.Sleep(100 * time.Second)
		synctest.Wait()
		assert.LessOrEqual(t, looks.Load(), int64(1000), "not 1000 alarms times 100 seconds")
		assert.GreaterOrEqual(t, looks.Load(), int64(100))
		for i := range sleepers {
			c.Stop(&sleepers[i].Alarm)
		}
	})
}

func TestAlarmsAreSafeForConcurrentUse(*testing.T) {
	var c alarm.Clock
	sleepers := make([]sleeper, 8)
	var all sync.WaitGroup
	for i := range sleepers {
		for range 2 {
			all.Go(func() {
				for n := range 500 {
					c.Set(&sleepers[i].Alarm, &sleepers[i], time.Duration(n%7)*time.Microsecond)
					if n%5 == 0 {
						c.Stop(&sleepers[i].Alarm)
					}
				}
			})
		}
	}
	all.Wait()
	var last sleeper
	woken := make(chan struct{})
	last.then = func() { close(woken) }
	c.Set(&last.Alarm, &last, 0)
	<-woken
}
