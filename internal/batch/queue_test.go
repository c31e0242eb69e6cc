package batch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/client"
)

// testValue is long enough to be told from other text.
const testValue = "0123456789abcdef0123456789abcdef"

// A fake is a client that does as it is told with each command.
type fake func(cmd *redis.Cmd)

func (f fake) Process(_ context.Context, cmd redis.Cmder) error {
	f(cmd.(client.Once).Cmd) //nolint:forcetypeassert // the queue sends nothing else
	return nil
}

func (q *Queue) isLate() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.late > 0
}

func TestAShortNodeTimeoutIsForgottenWithTheCommandThatHadIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		takes := 300 * ms
		q := &Queue{client: fake(func(cmd *redis.Cmd) {
			time.Sleep(takes)
			cmd.SetVal(int64(1))
		})}
		send := func(patience time.Duration) waiter {
			w := make(waiter, 1)
			q.Send(Command{Ctx: t.Context(), Cmd: redis.NewCmd(t.Context(), "ping"), Value: testValue, Patience: patience, To: w})
			return w
		}
		one := send(time.Second)
		synctest.Wait() // it goes alone
		other := send(time.Second)
		synctest.Wait()
		hurried := send(100 * ms)
		time.Sleep(60 * ms)
		assert.True(t, q.isLate(), "for the sake of the one that waits")
		for _, w := range []waiter{one, other, hurried} {
			assert.NoError(t, (<-w).Err)
		}
		synctest.Wait()
		takes = 400 * ms
		next := send(time.Second)
		time.Sleep(100 * ms)
		assert.False(t, q.isLate())
		<-next
		synctest.Wait()
	})
}

func TestASenderThatHasComeBackIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		times := 0
		q := &Queue{client: fake(func(cmd *redis.Cmd) {
			times++
			cmd.SetVal(int64(1))
		})}
		for range 100 {
			q.Process(Command{Ctx: t.Context(), Cmd: redis.NewCmd(t.Context(), "ping"), Value: testValue, Patience: time.Second})
			synctest.Wait()
		}
		assert.Equal(t, 100, times)
		assert.Len(t, q.spare, 1)
		assert.Empty(t, q.out)
	})
}

func TestAnErrorOfABatchTellsNoneOfItsValues(t *testing.T) {
	const other = "fedcba9876543210fedcba9876543210"
	c := &sender{batch: []Command{{Value: testValue}, {Value: other}}}
	assert.EqualError(t, c.redact(errors.New("lost "+other+", "+testValue)), "lost [value], [value]")
}
