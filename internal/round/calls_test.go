package round

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/node"
)

// A fake is a client that notes what it is given, and answers as it is told to.
type fake struct {
	answer func(i int, set func(val any)) error // the i-th command, from 0

	mu   sync.Mutex
	once []bool // of each command: go-redis would not repeat it
}

func (f *fake) Process(_ context.Context, cmd redis.Cmder) error {
	f.mu.Lock()
	i := len(f.once)
	f.once = append(f.once, cmd.NoRetry())
	f.mu.Unlock()
	set, ok := cmd.(interface{ SetVal(val any) })
	if !ok {
		return errors.New("no script")
	}
	return f.answer(i, set.SetVal)
}

func saysYes(_ int, set func(val any)) error {
	set(int64(1))
	return nil
}

func (f *fake) nodes() *Nodes {
	nodes := NewNodes([]client.Client{f}, Hooks{
		Failed: func(context.Context, node.Failure) {}, Late: func(context.Context, int) {}, Next: func(string, bool) {},
	})
	nodes.EnableLines("self", []string{"a"})
	return nodes
}

// newTestValue is long enough to be told from other text.
const newTestValue = "0123456789abcdef0123456789abcdef"

func TestWhatOnlyLeavesALineOwesNoRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: func(i int, set func(val any)) error {
			if i < 2*2 { // each is repeated once
				return errors.New("no answer")
			}
			return saysYes(i, set)
		}}
		nodes := f.nodes()
		unanswered := func(prepare func(g *Grant)) bool {
			g := newGrant(nodes, []string{"a"}, newTestValue)
			prepare(g)
			places := g.series.Take(lane.Acquire, time.Second, nil)
			g.send(t.Context(), g.commands.Release, places, &raising{g, make(chan filed, 1)})
			synctest.Wait()
			return nodes.Owes()
		}
		assert.False(t, unanswered(func(g *Grant) { g.enter(Plan{Gate: 0}); g.leave(Leave) }))
		assert.True(t, unanswered(func(g *Grant) { g.ledger.Lasts(0, time.Minute, time.Now()) }))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		assert.False(t, nodes.Owes())
	})
}

func TestACommandThatHasLostItsPurposeIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: saysYes}
		g := newGrant(f.nodes(), []string{"a"}, newTestValue)
		to := &raising{g, make(chan filed, 2)}
		for _, left := range []time.Duration{0, time.Millisecond} {
			c := g.commands.Arm(time.Second)
			c.Until = time.Now().Add(left)
			g.send(t.Context(), alike(c), g.series.Take(lane.Follow, time.Second, nil), to)
			synctest.Wait()
		}
		assert.Equal(t, node.Skipped, (<-to.filed).vote.Kind)
		assert.Equal(t, node.Granted, (<-to.filed).vote.Kind)
		assert.Len(t, f.once, 1)
	})
}
