package node

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/alarm"
	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/script"
)

// testValue is long enough to be told from other text.
const testValue = "0123456789abcdef0123456789abcdef"

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
	switch c := cmd.(type) {
	case client.Once:
		return f.answer(i, c.Cmd)
	case *wantedCmd:
		return f.answer(i, c.Cmd)
	}
	return errors.New("no script")
}

func saysYes(_ int, cmd *redis.Cmd) error {
	cmd.SetVal(int64(1))
	return nil
}

// A replyError is an error that a node answers.
type replyError string

func (e replyError) Error() string { return string(e) }

func (replyError) RedisError() {}

func newNode(c client.Client) *Node {
	return New([]client.Client{c}, lane.NewTable(1), new(alarm.Clock), Hooks{
		Failed: func(context.Context, Failure) {}, Late: func(context.Context, int) {},
	})[0]
}

func (f *fake) node() *Node { return newNode(f) }

// An owner has a value that may be on its node until that moment, and learns nothing.
type owner struct{ until time.Time }

func (o owner) Until(int) time.Time       { return o.until }
func (owner) GivenUp(*Call)               {}
func (owner) Concluded(*Call, Vote, bool) {}
func (owner) Retrying(int)                {}
func (owner) Retried(int, Kind, Effect)   {}

func releaseOf(value string) *Command {
	return &Command{Op: OpRelease, Script: script.Release, Args: script.Release.Args([]any{"a"}, value), Once: true}
}

func newCall(t *testing.T, n *Node, c *Command) *Call {
	t.Helper()
	tr := n.lanes.NewSeries("a")
	return &Call{Owner: owner{}, Ctx: t.Context(), Command: c, Node: n, Place: &tr.Take(lane.Acquire, time.Second, nil)[0], Sent: time.Now()}
}

func TestThePlainCommandOfAGateIsRepeatedNoMoreOftenThanItsOwn(t *testing.T) {
	f := &fake{answer: func(i int, cmd *redis.Cmd) error {
		if i == 0 {
			return replyError("NOPERM no channel for you")
		}
		return saysYes(i, cmd)
	}}
	plain := &Command{Op: OpAcquire, Script: script.Acquire, Args: script.Acquire.Args([]any{"a"}, testValue, 1000)}
	gate := &Command{
		Op: OpAcquire, Script: script.AcquireGate, Plain: plain, Once: true,
		Args: script.AcquireGate.Args([]any{"a", "b", "c"}, testValue, 1000, "self", "now"),
	}
	n := f.node()
	a := newCall(t, n, gate).exchange(nil)
	assert.NoError(t, a.Err)
	assert.Equal(t, []bool{true, true}, f.once)
	assert.False(t, n.KeepsLine("a"))
}

func TestTheCommandOfAnotherValueIsRedactedByThatOne(t *testing.T) {
	const other = "fedcba9876543210fedcba9876543210"
	v, c := newCall(t, (&fake{answer: saysYes}).node(), releaseOf(testValue)), releaseOf(other)
	assert.Equal(t, other, v.command(c, c.Args).Value)
	assert.EqualError(t, c.redact(errors.New("lost "+other)), "lost [value]")
}
