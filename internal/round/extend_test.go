package round_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/node"
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
	cmd.(interface{ SetVal(val any) }).SetVal(r.n) //nolint:forcetypeassert // extensions and acquires are that
	return nil
}

func newFleet(scripts ...script) *round.Nodes {
	clients := make([]client.Client, 0, len(scripts))
	for _, all := range scripts {
		s := stub{time.Now(), make(chan reply, len(all))}
		for _, r := range all {
			s.next <- r
		}
		clients = append(clients, s)
	}
	return round.NewNodes(clients, round.Hooks{
		Failed: func(context.Context, node.Failure) {}, Late: func(context.Context, int) {}, Next: func(string, bool) {},
	})
}

// Node 0 agrees to the first round and then loses the value. Its yes comes after it has
// said so to the second round.
func TestAYesThatWasOvertakenByTheNewsOfALossDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms, ttl = time.Millisecond, 10 * time.Second
		f := newFleet(
			script{{1, 0}, {1, 800 * ms}, {-1, 300 * ms}, {1, 1000 * ms}},
			script{{1, 0}, {1, 900 * ms}, {1, 300 * ms}, {1, 1000 * ms}},
			script{{1, 0}, {1, 900 * ms}, {1, 300 * ms}, {-1, 1000 * ms}},
		)
		ctx, wall := t.Context(), new(clock.Clock)
		limits := round.Limits{Timeout: 100 * ms, Wait: 100 * ms}
		grant, res := f.Acquire(ctx, []string{"a"}, "value", ttl, round.Plan{Gate: round.NoGate}, round.Fencing{}, limits)
		require.Equal(t, quorum.Acquired, res.Outcome)
		synctest.Wait()
		_, res = grant.Extend(ctx, wall.Now(), ttl, limits)
		require.Equal(t, quorum.Unknown, res.Outcome)
		time.Sleep(150 * ms)
		second, res := grant.Extend(ctx, wall.Now(), ttl, limits)
		require.Equal(t, quorum.Extended, res.Outcome)
		time.Sleep(600 * ms) // the late answers have come
		synctest.Wait()
		grant.Commit(second)
		third, res := grant.Extend(ctx, wall.Now(), ttl, round.Limits{Timeout: time.Second, Wait: time.Second})
		assert.NotEqual(t, quorum.Extended, res.Outcome, "%v: node 0 has it, but not since the second round", third)
	})
}
