package lane_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/lane"
)

// newBound returns one node that is sent so many commands at a time.
func newBound(room int) *fleet {
	f := newFleet()
	f.table.Bound(0, room)
	return f
}

func TestNoMoreCommandsAreSentAtATimeThanThereIsRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newBound(2)
		var places []*lane.Place
		var told []*told
		for range 5 {
			_, p := f.acquire()
			places, told = append(places, p), append(told, then(p))
		}
		due := func() (n int) {
			for _, w := range told {
				if w.due.Load() {
					n++
				}
			}
			return n
		}
		for i, p := range places {
			require.Equal(t, min(2+i, 5), due())
			require.True(t, told[i].due.Load(), "out of order")
			p.Done(true)
		}
		assert.Zero(t, f.table.Open())
	})
}

func TestWhatKeepsOrEndsALockGoesBeforeWhatBeginsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, kind := range []lane.Kind{lane.Follow, lane.Release} {
			f := newBound(1)
			held, p := f.acquire()
			p.Done(true)
			_, busy := f.acquire()
			_, p = f.acquire()
			begins, goes := then(p), take(held, kind)
			first := then(goes)
			busy.Done(true)
			require.True(t, first.due.Load() && !begins.due.Load())
			goes.Done(true)
			require.True(t, begins.due.Load())
			p.Done(true)
			assert.Zero(t, f.table.Open())
		}
	})
}

func TestTheNextOfALaneWaitsForRoomBehindThoseThatDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newBound(2)
		_, one := f.acquireOn("a")
		_, two := f.acquire()
		_, after := f.acquireOn("a")
		_, other := f.acquire()
		next, waits := then(after), then(other)
		f.table.Bound(0, 1)
		one.Done(true)
		require.False(t, next.due.Load() || waits.due.Load(), "there is no room")
		two.Done(true)
		require.True(t, waits.due.Load() && !next.due.Load())
		other.Done(true)
		require.True(t, next.due.Load())
		after.Done(true)
		assert.Zero(t, f.table.Open())
	})
}

func TestAPlaceThatIsDroppedWaitsForNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for dropped := range 3 {
			f := newBound(1)
			_, busy := f.acquire()
			var series []*lane.Series
			var told []*told
			for range 3 {
				tr, p := f.acquire()
				series, told = append(series, tr), append(told, then(p))
			}
			require.Equal(t, lane.Unneeded, take(series[dropped], lane.Release).Reason())
			synctest.Wait()
			require.True(t, told[dropped].due.Load(), "of being dropped")
			busy.Done(true)
			for i := range told {
				require.Equal(t, i == dropped || i == (dropped+3)/3-1 || dropped == 0 && i == 1, told[i].due.Load(), "%d of %d", i, dropped)
			}
		}
	})
}

func TestAPlaceThatIsDoneBeforeThereIsRoomGivesNoneAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newBound(1)
		_, busy := f.acquire()
		_, p := f.acquire()
		then(p)
		p.Done(false)
		_, next := f.acquire()
		w := then(next)
		require.False(t, w.due.Load())
		busy.Done(true)
		require.True(t, w.due.Load())
		next.Done(true)
		assert.Zero(t, f.table.Open())
	})
}

func TestWhatHangsTakesNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newBound(1)
		_, hangs := f.acquire()
		_, p := f.acquire()
		w := then(p)
		then(hangs)
		time.Sleep(timeout)
		synctest.Wait()
		require.True(t, w.due.Load())
		_, third := f.acquire()
		last := then(third)
		hangs.Done(true)
		require.False(t, last.due.Load(), "its room was given away")
		p.Done(true)
		require.True(t, last.due.Load())
		third.Done(true)
		assert.Zero(t, f.table.Open())
	})
}

func TestTheNodeTimeoutCountsFromWhenTheCommandIsSentIfTheNodeAnswersOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newBound(1)
		_, busy := f.acquire()
		assert.Zero(t, busy.Patience(), "it was sent at once")
		_, p := f.acquire()
		then(p)
		assert.Equal(t, timeout, p.Patience())
		for range 5 {
			_, next := f.acquire()
			time.Sleep(timeout - 1)
			require.Equal(t, timeout, p.Patience())
			f.table.Bound(0, 2)
			busy.Done(true)
			require.Equal(t, timeout, p.Patience())
			_, p = f.acquire()
			then(p)
			busy = next
			f.table.Bound(0, 1)
		}
	})
}

func TestNobodyWaitsForANodeThatAnswersNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newBound(1)
		_, busy := f.acquire()
		then(busy)
		_, p := f.acquire()
		then(p)
		time.Sleep(timeout)
		synctest.Wait()
		assert.Zero(t, p.Patience())
		assert.Zero(t, busy.Patience())
	})
}

func TestAProcessThatDoesNotGetTheProcessorWaitsLonger(t *testing.T) {
	var s lane.Spare
	const timeout = time.Second
	assert.Zero(t, s.Add(9*time.Millisecond, timeout), "too little to tell anything")
	assert.Equal(t, 200*time.Millisecond, s.Add(20*time.Millisecond, timeout))
	assert.Zero(t, s.Add(20*time.Millisecond, timeout), "that is known")
	assert.Equal(t, 100*time.Millisecond, s.Add(30*time.Millisecond, timeout))
	assert.Equal(t, 700*time.Millisecond, s.Add(5*time.Second, timeout), "no longer than the node timeout in all")
	assert.Zero(t, s.Add(5*time.Second, timeout))
}

func TestHowLateGoroutinesBeginIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		_, p := f.acquire()
		p.Begun(timeout / 200)
		assert.Zero(t, f.table.Lag(0, timeout))
		p.Begun(timeout / 2)
		p.Begun(timeout / 5)
		assert.Equal(t, timeout/2, f.table.Lag(0, timeout))
		assert.Equal(t, timeout, f.table.Lag(timeout, timeout))
		time.Sleep(2 * timeout)
		p.Begun(timeout / 5)
		assert.Equal(t, timeout/5, f.table.Lag(0, timeout))
		time.Sleep(2*timeout + 1)
		assert.Zero(t, f.table.Lag(0, timeout))
	})
}

func TestAfterAPauseOfTheProcessAnswersHaveTimeToBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		_, p := f.acquire()
		w := then(p)
		p.Begun(5 * timeout) // the timer was late, too, which it is not here
		time.Sleep(timeout)
		synctest.Wait()
		require.False(t, w.givenUp.Load())
		time.Sleep(timeout - 1)
		synctest.Wait()
		require.False(t, w.givenUp.Load())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.True(t, w.givenUp.Load(), "once")
		p.Done(false)
	})
}

func TestACallIsGivenUpLaterWhereGoroutinesBeginLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		_, p := f.acquire()
		w := then(p)
		p.Begun(timeout / 20)
		time.Sleep(timeout + timeout/2 - 1)
		synctest.Wait()
		require.False(t, w.givenUp.Load())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.True(t, w.givenUp.Load())
		p.Done(false)
	})
}
