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
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/lane"
)

// A fake is a client that notes what it is given, and answers as it is told to.
type fake struct {
	answer func(i int, cmd *redis.Cmd) error // the i-th command, from 0

	mu   sync.Mutex
	once []bool // of each command: go-redis would not repeat it
}

func (f *fake) Process(_ context.Context, cmd redis.Cmder) error {
	f.mu.Lock()
	i := len(f.once)
	f.once = append(f.once, cmd.NoRetry())
	f.mu.Unlock()
	c, ok := cmd.(*redis.Cmd)
	if once, is := cmd.(onceCmd); is {
		c, ok = once.Cmd, true
	}
	if !ok {
		return errors.New("no script")
	}
	return f.answer(i, c)
}

func saysYes(_ int, cmd *redis.Cmd) error {
	cmd.SetVal(int64(1))
	return nil
}

func (f *fake) fleet() *Fleet {
	fleet := NewFleet([]Client{f}, Hooks{
		Failed: func(context.Context, Failure) {}, Late: func(context.Context, int) {}, Next: func(string, bool) {},
	})
	fleet.EnableLines("self", []string{"a"})
	return fleet
}

func TestThePlainCommandOfAGateIsRepeatedNoMoreOftenThanItsOwn(t *testing.T) {
	f := &fake{answer: func(i int, cmd *redis.Cmd) error {
		if i == 0 {
			return replyError("NOPERM no channel for you")
		}
		return saysYes(i, cmd)
	}}
	fleet := f.fleet()
	g := newGrant(fleet, []string{"a"}, newTestValue)
	g.acquires(time.Second)
	g.enter(Ticket{Gate: 0, InTurn: true})
	places := g.train.Take(lane.Acquire, time.Second, nil)
	v := &visit{grant: g, ctx: t.Context(), call: &g.gate.first, place: &places[0]}
	a := v.exchange(nil)
	require.NoError(t, a.err)
	assert.Equal(t, []bool{true, true}, f.once)
}

// newTestValue is long enough to be told from other text.
const newTestValue = "0123456789abcdef0123456789abcdef"

func TestWhatOnlyLeavesALineOwesNoRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: saysYes}
		fleet := f.fleet()
		unanswered := func(prepare func(g *Grant)) int32 {
			g := newGrant(fleet, []string{"a"}, newTestValue)
			prepare(g)
			v := &visit{grant: g, ctx: t.Context(), call: &g.last}
			v.unanswered(false)
			return fleet.debts[0].count.Load()
		}
		assert.Zero(t, unanswered(func(g *Grant) { g.enter(Ticket{Gate: 0}); g.leave(Leave) }))
		assert.EqualValues(t, 1, unanswered(func(g *Grant) { g.acquires(time.Second) }))
		time.Sleep(2 * redial)
		synctest.Wait()
		assert.Zero(t, fleet.debts[0].count.Load())
	})
}

func TestACommandThatHasLostItsPurposeIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: saysYes}
		g := newGrant(f.fleet(), []string{"a"}, newTestValue)
		to := &raising{g, make(chan filed, 2)}
		for _, left := range []time.Duration{0, time.Millisecond} {
			c := g.arms(time.Second)
			c.until = time.Now().Add(left)
			g.send(t.Context(), &c, g.train.Take(lane.Follow, time.Second, nil), to)
			synctest.Wait()
		}
		assert.Equal(t, skipped, (<-to.filed).vote.kind)
		assert.Equal(t, granted, (<-to.filed).vote.kind)
		assert.Len(t, f.once, 1)
	})
}

func TestTheCommandOfAnotherValueIsRedactedByThatOne(t *testing.T) {
	const other = "fedcba9876543210fedcba9876543210"
	f := &fake{answer: saysYes}
	fleet := f.fleet()
	g, h := newGrant(fleet, []string{"a"}, newTestValue), newGrant(fleet, []string{"a"}, other)
	places := g.train.Take(lane.Acquire, time.Second, nil)
	v := &visit{grant: g, ctx: t.Context(), call: &g.last, place: &places[0]}
	c := &courier{batch: []parcel{v.parcel(&h.last, h.last.args)}}
	assert.EqualError(t, c.redact(errors.New("lost "+other)), "lost [value]")
	assert.EqualError(t, h.last.redact(errors.New("lost "+other)), "lost [value]")
}
