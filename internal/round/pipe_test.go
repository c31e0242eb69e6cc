package round

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
)

func (p *pipe) isLate() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.late > 0
}

func TestAShortNodeTimeoutIsForgottenWithTheCommandThatHadIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		takes := 300 * ms
		p := &pipe{client: &fake{answer: func(_ int, cmd *redis.Cmd) error {
			time.Sleep(takes)
			cmd.SetVal(int64(1))
			return nil
		}}}
		send := func(patience time.Duration) waiter {
			w := make(waiter, 1)
			p.send(parcel{ctx: t.Context(), cmd: redis.NewCmd(t.Context(), "ping"), value: newTestValue, patience: patience, to: w})
			return w
		}
		one := send(time.Second)
		synctest.Wait() // it goes alone
		other := send(time.Second)
		synctest.Wait()
		hurried := send(100 * ms)
		time.Sleep(60 * ms)
		assert.True(t, p.isLate(), "for the sake of the one that waits")
		for _, w := range []waiter{one, other, hurried} {
			assert.NoError(t, (<-w).err)
		}
		synctest.Wait()
		takes = 400 * ms
		next := send(time.Second)
		time.Sleep(100 * ms)
		assert.False(t, p.isLate())
		<-next
		synctest.Wait()
	})
}

func TestACourierThatHasComeBackIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: saysYes}
		p := &pipe{client: f}
		for range 100 {
			p.process(parcel{ctx: t.Context(), cmd: redis.NewCmd(t.Context(), "ping"), value: newTestValue, patience: time.Second})
			synctest.Wait()
		}
		assert.Len(t, f.once, 100)
		assert.Len(t, p.spare, 1)
		assert.Empty(t, p.out)
	})
}
