package round_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// A script is what a node answers, in order, each when it is due.
type script []reply

type reply struct {
	n  int64
	at time.Duration // since the beginning
}

type stub struct {
	begin time.Time
	next  chan reply
}

func (s stub) Process(_ context.Context, cmd redis.Cmder) error {
	r := <-s.next
	time.Sleep(r.at - time.Since(s.begin))
	cmd.(*redis.Cmd).SetVal(r.n) //nolint:forcetypeassert // extensions and acquires are that
	return nil
}

func newFleet(scripts ...script) *round.Fleet {
	clients := make([]round.Client, 0, len(scripts))
	for _, all := range scripts {
		s := stub{time.Now(), make(chan reply, len(all))}
		for _, r := range all {
			s.next <- r
		}
		clients = append(clients, s)
	}
	return round.NewFleet(clients, round.Hooks{
		Failed: func(context.Context, round.Failure) {}, Late: func(context.Context, int) {}, Next: func(string, bool) {},
	})
}

// Node 1 agrees to the first round, loses its data, and its answer comes late. Node 2
// is given the value back between. Nobody had it on two nodes for a while.
func TestANodeThatGotTheValueAfterAMajorityHadAgreedDoesNotCountWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms, ttl = time.Millisecond, 10 * time.Second
		f := newFleet(
			script{{1, 0}, {1, 10 * ms}, {1, 20 * ms}, {1, 140 * ms}, {1, 310 * ms}},
			script{{1, 0}, {1, 10 * ms}, {1, 200 * ms}, {-1, 310 * ms}}, // the third one was agreed to at 20 ms
			script{{1, 0}, {-1, 10 * ms}, {1, 100 * ms}, {1, 140 * ms}, {1, 310 * ms}},
		)
		ctx, wall := t.Context(), new(clock.Clock)
		limits := round.Limits{Timeout: time.Second, Wait: 30 * ms}
		grant, res := f.Acquire(ctx, []string{"a"}, "value", ttl, round.Ticket{Gate: round.NoGate}, round.Fencing{}, limits)
		require.Equal(t, quorum.Acquired, res.Outcome)
		synctest.Wait()
		at := func(d time.Duration) (*round.Extension, quorum.Outcome) {
			time.Sleep(d)
			x, res := grant.Extend(ctx, wall.Now(), ttl, limits)
			return x, res.Outcome
		}
		first, outcome := at(5 * ms)
		require.Equal(t, quorum.Extended, outcome)
		synctest.Wait()
		first.Commit()
		first.Arm(ctx)
		late, outcome := at(5 * ms)
		require.Equal(t, quorum.Unknown, outcome)
		_, outcome = at(90 * ms)
		require.Equal(t, quorum.Unknown, outcome)
		time.Sleep(100 * ms)
		outcome, success := grant.Verdict(ttl)
		require.Equal(t, quorum.Extended, outcome)
		require.Same(t, late, success)
		late.Commit()
		_, outcome = at(50 * ms)
		assert.Equal(t, quorum.Unknown, outcome)
		time.Sleep(time.Second)
	})
}
