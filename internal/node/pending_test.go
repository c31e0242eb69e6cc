package node

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/client"
)

func TestWhatFailsWhileThePauseLastsDoesNotLengthenIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &newNode(nil).pending
		for range 5 {
			p.judge(false)
			assert.Equal(t, redial, p.pause)
		}
		time.Sleep(redial)
		p.judge(false)
		assert.Equal(t, 2*redial, p.pause)
		time.Sleep(time.Minute)
		for range 10 {
			p.judge(false)
			time.Sleep(maxRedial)
		}
		assert.Equal(t, maxRedial, p.pause)
		p.judge(true)
		assert.Zero(t, p.pause)
	})
}

// As many calls hang as may when Shutdown comes, and the node goes on at that moment: the
// acquire that is to be undone is answered before them.
func TestWhatShutdownFindsOwedIsTriedThoughOthersHungAMomentAgo(t *testing.T) {
	for hangs, want := range map[time.Duration]int{time.Millisecond: 1, time.Hour: 0} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{answer: saysYes}
			n := f.node()
			p := &n.pending
			v := newCall(t, n, releaseOf(testValue))
			for range maxHung {
				p.hang(1)
			}
			n.LetGo()
			v.owe(time.Now().Add(time.Hour), time.Now())
			time.Sleep(hangs)
			for range maxHung {
				p.hang(-1)
			}
			time.Sleep(2 * redial)
			synctest.Wait()
			assert.Len(t, f.once, want)
			assert.False(t, n.Owes(), "Shutdown ends though they hang for ever")
		})
	}
}

func TestWhatIsOwedAgainWhileItsLastTryIsUnderWayIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := (&fake{answer: saysYes}).node()
		p := &n.pending
		v := newCall(t, n, releaseOf(testValue))
		n.LetGo()
		p.settles = true // its try is under way
		v.owe(time.Now().Add(time.Hour), time.Now())
		d, _ := p.next()
		for range lastTries {
			v.owe(time.Now().Add(time.Hour), time.Now())
			p.failed(d, false, p.retry(time.Now(), false))
		}
		assert.True(t, n.Owes())
		p.settles = false
		p.rest()
		synctest.Wait()
		assert.False(t, n.Owes())
	})
}

func TestANodeIsOwedABoundedNumberOfReleasesAndOnlyWhileTheirKeysCanBeThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: func(int, *redis.Cmd) error { return replyError("LOADING") }}
		n := f.node()
		for i := range maxPending + 10 {
			v := newCall(t, n, releaseOf(fmt.Sprint(testValue, i)))
			v.Owner = owner{until: time.Now().Add(time.Minute)}
			for range 2 { // by two releases of the same lock
				v.conclude(Vote{Kind: Failed, Err: client.ErrNoReturn, Effect: Maybe})
			}
		}
		assert.EqualValues(t, maxPending, n.pending.count.Load())
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.True(t, n.Owes())
		time.Sleep(maxRedial + time.Second)
		synctest.Wait()
		assert.False(t, n.Owes())
		assert.Less(t, len(f.once), maxPending/10, "the others are not tried while it does not answer well")
	})
}

// A balancer may have forgotten every idle connection, while the node is well.
func TestConnectionsThatHangDelayAReleaseByATryEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hang = 6
		n := (&fake{answer: func(i int, cmd *redis.Cmd) error {
			if i < hang {
				time.Sleep(5 * time.Second)
				return errors.New("i/o timeout")
			}
			return saysYes(i, cmd)
		}}).node()
		v := newCall(t, n, releaseOf(testValue))
		v.Owner = owner{until: time.Now().Add(time.Minute)}
		v.conclude(Vote{Kind: Failed, Err: client.ErrNoReturn, Effect: Maybe})
		time.Sleep((hang + 3) * redial)
		synctest.Wait()
		assert.False(t, n.Owes())
		time.Sleep(time.Minute) // all come back
	})
}

func TestWhatHangsSaysNothingOfTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := (&fake{answer: func(int, *redis.Cmd) error {
			time.Sleep(5 * time.Second)
			return errors.New("i/o timeout")
		}}).node()
		p := &n.pending
		p.pause = maxRedial
		v := newCall(t, n, releaseOf(testValue))
		v.Owner = owner{until: time.Now().Add(3 * redial)}
		v.conclude(Vote{Kind: Failed, Err: client.ErrNoReturn, Effect: Maybe})
		time.Sleep(2*redial + redial/2)
		p.mu.Lock()
		assert.Equal(t, maxRedial, p.pause)
		p.mu.Unlock()
		time.Sleep(time.Minute)
	})
}
