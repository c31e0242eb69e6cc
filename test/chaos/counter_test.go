package chaos

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// A fakeLease is valid until a moment.
type fakeLease time.Time

func (l fakeLease) Valid() bool      { return time.Now().Before(l.Until()) }
func (l fakeLease) Until() time.Time { return time.Time(l) }
func (l fakeLease) Token() int64     { return 0 }

// aSecond returns a lease for one second from now.
func aSecond() fakeLease { return fakeLease(time.Now().Add(time.Second)) }

func newLoneCounter() *counter { return newCounter("k", newFigures(0, 0, func() {})) }

// requireKind requires that what was found wrong at first is of a kind.
func requireKind(t *testing.T, kind string, found []string) {
	t.Helper()
	require.NotEmpty(t, found)
	assert.True(t, strings.HasPrefix(found[0], kind+","), found)
}

func never() {}

func TestSectionsOneAfterTheOtherAreNoOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLoneCounter()
		a := c.enter(t.Context(), aSecond(), 1, "")
		require.True(t, a.increment(never))
		a.leave()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, redlock.ErrLockLost)
		defer cancel()
		b := c.enter(ctx, aSecond(), 2, "")
		require.False(t, b.increment(func() { time.Sleep(2 * time.Second) }), "its context has ended")
		d := c.enter(t.Context(), aSecond(), 3, "")
		require.True(t, d.increment(never))
		d.leave()
		c.audit()
		require.Empty(t, c.figures.violations())
		require.Equal(t, 2, c.value)
	})
}

func TestTwoContextsAliveAtOnceAreAnOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLoneCounter()
		a := c.enter(t.Context(), aSecond(), 1, "")
		time.Sleep(time.Millisecond)
		c.enter(t.Context(), aSecond(), 2, "").leave()
		requireKind(t, overlap, c.figures.violations())
		a.leave()
	})
}

func TestASectionThatGoesOnAfterSomebodyElseIsAnOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLoneCounter()
		a := c.enter(t.Context(), aSecond(), 1, "")
		delete(c.open, a) // so that the next one does not see it
		b := c.enter(t.Context(), aSecond(), 2, "")
		require.Empty(t, c.figures.violations())
		require.True(t, a.increment(never))
		requireKind(t, overlap, c.figures.violations())
		a.leave()
		b.leave()
	})
}

func TestAContextThatOutlivesItsLockIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLoneCounter()
		a := c.enter(t.Context(), aSecond(), 1, "")
		time.Sleep(2 * time.Second)
		a.leave()
		requireKind(t, lateContext, c.figures.violations())
	})
}

func TestAContextThatOutlivesItsLockIntoTheNextOneIsAnOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLoneCounter()
		a := c.enter(t.Context(), aSecond(), 1, "")
		time.Sleep(2 * time.Second)
		c.enter(t.Context(), aSecond(), 2, "").leave()
		requireKind(t, overlap, c.figures.violations())
		a.leave()
	})
}

func TestATimerThatIsALittleLateIsForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLoneCounter()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second+50*time.Millisecond, redlock.ErrLockLost)
		defer cancel()
		a := c.enter(ctx, aSecond(), 1, "")
		time.Sleep(time.Second + 20*time.Millisecond)
		b := c.enter(t.Context(), aSecond(), 2, "")
		require.False(t, a.increment(never), "it is over by the clock")
		time.Sleep(100 * time.Millisecond)
		b.leave()
		c.audit()
		require.Empty(t, c.figures.violations())
	})
}

func TestASectionIsOverTheMomentItsContextIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLoneCounter()
		ctx, cancel := context.WithCancel(t.Context())
		a := c.enter(ctx, aSecond(), 1, "")
		c.mu.Lock() // so that nobody can be told yet
		cancel()
		require.False(t, a.alive())
		c.mu.Unlock()
	})
}

func TestALostUpdateIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLoneCounter()
		a := c.enter(t.Context(), aSecond(), 1, "")
		require.True(t, a.increment(func() { c.value++ }))
		requireKind(t, lostUpdate, c.figures.violations())
		a.leave()
	})
}

func TestALossBeforeItsTimeIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLoneCounter()
		ctx, cancel := context.WithCancelCause(t.Context())
		c.enter(ctx, aSecond(), 1, "")
		cancel(errors.New("the program's own reason"))
		synctest.Wait()
		require.Empty(t, c.figures.violations())

		ctx, cancel = context.WithCancelCause(t.Context())
		c.enter(ctx, aSecond(), 2, "")
		cancel(redlock.ErrLockLost)
		synctest.Wait()
		requireKind(t, earlyLoss, c.figures.violations())
	})
}

func TestALossAtTheEndThatAnExtensionAskedForIsNotBeforeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLoneCounter()
		ctx, cancel := context.WithCancelCause(t.Context())
		a := c.enter(ctx, aSecond(), 1, "")
		a.extending(100 * time.Millisecond)
		time.Sleep(100 * time.Millisecond)
		cancel(redlock.ErrLockLost)
		synctest.Wait()
		require.Empty(t, c.figures.violations())
	})
}

func TestIntervalsThatIntersectAreFound(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	past := func(who string, from, to int) interval {
		return interval{who: who, from: begun.Add(time.Duration(from)), to: begun.Add(time.Duration(to))}
	}
	for _, tt := range []struct {
		name string
		all  []interval
		want []string
	}{
		{"none", nil, nil},
		{"one after the other", []interval{past("b", 2, 3), past("a", 1, 2)}, nil},
		{"one into the other", []interval{past("b", 2, 4), past("a", 1, 3)}, []string{"ab"}},
		{"two within one", []interval{past("a", 1, 9), past("b", 2, 3), past("c", 8, 10)}, []string{"ab", "ac"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, pair := range intersections(tt.all) {
				got = append(got, pair[0].who+pair[1].who)
			}
			require.Equal(t, tt.want, got)
		})
	}
}

func TestTheLongestWaitCountsBothEnds(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	after := func(seconds int) time.Time { return begun.Add(time.Duration(seconds) * time.Second) }
	c := newLoneCounter()
	require.Equal(t, 9*time.Second, c.longestWait(begun, after(9)))
	c.past = []interval{{from: after(2)}, {from: after(6)}}
	require.Equal(t, 4*time.Second, c.longestWait(begun, after(9)))
	require.Equal(t, 5*time.Second, c.longestWait(begun, after(11)))
	require.Equal(t, 6*time.Second, c.longestWait(after(-4), after(7)))
}
