package command_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/command"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/script"
)

const (
	value = "a random value"
	ttl   = 1500 * time.Millisecond
	gate  = 1 // of the nodes 0 to 2
)

func newSet(fenced bool, resources ...string) *command.Set {
	s := new(command.Set)
	s.Init(resources, value)
	if fenced {
		s.Fence(resources, 70, int64(9))
	}
	s.Acquires(ttl, false)
	return s
}

func args(c *node.Command) []any { return c.Args[2:] }

func TestEveryNodeIsSentTheSameCommand(t *testing.T) {
	s := newSet(false, "a")
	assert.Equal(t, []any{1, "a", value, int64(1500)}, args(s.Acquire(0)))
	assert.Equal(t, []any{1, "a", value}, args(s.Release(0)))
	assert.Same(t, s.Acquire(0), s.Acquire(2))
	assert.Same(t, s.Release(0), s.Release(2))
	assert.True(t, s.Release(0).Once, "nobody could tell a repeat from a lock that was taken")
	assert.False(t, s.Acquire(0).Once)
	assert.Equal(t, ttl, s.Acquire(0).TTL)
	assert.Equal(t, []any{1, "a", value, int64(250)}, args(s.Extend(250*time.Millisecond)))
	assert.Equal(t, []any{1, "a", value, int64(250)}, args(s.Arm(250*time.Millisecond)))
	assert.Equal(t, node.OpExtend, s.Extend(ttl).Op)
	assert.Equal(t, node.OpAcquire, s.Arm(ttl).Op)
}

func TestTheGateIsSentCommandsOfItsOwn(t *testing.T) {
	for _, fenced := range []bool{false, true} {
		s, gt := newSet(fenced, "a"), new(command.Gate)
		s.Enter(gt, "a", command.Entry{Node: gate, Self: "me", Came: "now"})
		keys := []any{"a", "{a}:redlock:line", "{a}:redlock:next"}
		want := append([]any{3}, append(keys, value, int64(1500), "me", "now")...)
		if fenced {
			want = append([]any{4}, append(keys, "{a}:redlock:token", value, int64(1500), "me", "now", int64(70), int64(9))...)
		}
		assert.Equal(t, want, args(s.Acquire(gate)))
		assert.Same(t, s.Acquire(0), s.Acquire(gate).Plain, "for who may not use lines")
		assert.False(t, gt.Leaves())
		s.Leave("pop", int64(100), false)
		assert.True(t, gt.Leaves())
		assert.Equal(t, append([]any{3}, append(keys, value, "me", "pop", int64(100))...), args(s.Release(gate)))
		assert.Same(t, s.Release(0), s.Release(gate).Plain)

		before := s.Acquire(gate)
		s.TakeEmpty("5")
		assert.NotSame(t, before, s.Acquire(gate))
		assert.Equal(t, want, args(before), "it may be on its way")
		want[1+want[0].(int)+3] = "5"
		assert.Equal(t, want, args(s.Acquire(gate)))
	}
}

func TestWhoLooksIsNowhereRepeatedByTheClient(t *testing.T) {
	for name, e := range map[string]command.Entry{"looks": {Looks: true}, "asks the gate first": {Once: true}} {
		s, gt := newSet(false, "a"), new(command.Gate)
		e.Node = gate
		s.Enter(gt, "a", e)
		assert.True(t, s.Acquire(gate).Once, name)
		assert.Equal(t, e.Looks, s.Acquire(0).Once, name)
	}
}

func TestATokenGoesWithEveryCommandButTheRelease(t *testing.T) {
	s := newSet(true, "a")
	assert.Equal(t, []any{2, "a", "{a}:redlock:token", value, int64(1500), 1, int64(70), int64(9)}, args(s.Acquire(0)))
	assert.Zero(t, s.Token())
	s.Agree(71)
	assert.Equal(t, int64(71), s.Token())
	keys := []any{2, "a", "{a}:redlock:token"}
	assert.Equal(t, append(keys, value, int64(1500), int64(71), int64(9)), args(s.Extend(ttl)))
	assert.Equal(t, append(keys, value, int64(1500), 0, int64(71), int64(9)), args(s.Arm(ttl)))
	raise := s.Raise(80)
	assert.Equal(t, append(keys, value, 0, int64(80), int64(9)), args(raise))
	assert.Zero(t, raise.TTL, "it leaves the time alone")
	assert.Equal(t, []any{1, "a", value}, args(s.Release(0)))
}

func TestOfSeveralResourcesANodeIsToldWhoseLinesItKeeps(t *testing.T) {
	s := newSet(false, "a", "b", "c")
	require.True(t, s.Several())
	plain := s.Acquire(gate)
	assert.Equal(t, []any{3, "a", "b", "c", value, int64(1500)}, args(plain))
	s.Keeps(3, func(resource string) int { return map[string]int{"a": -1, "b": gate, "c": 2}[resource] })
	s.EnterAll("me")
	assert.Same(t, plain, s.Acquire(0), "it keeps none")
	assert.Equal(t, []any{4, "b", "a", "c", "{b}:redlock:next", value, int64(1500), "me", 3, 1}, args(s.Acquire(gate)))
	assert.Equal(t, []string{"c"}, s.Kept(2))

	assert.False(t, s.LeavesAll())
	s.LeaveAll(node.New(make([]client.Client, 3), nil, nil, node.Hooks{}))
	assert.True(t, s.LeavesAll())
	assert.Equal(t, []any{3, "a", "b", "c", value}, args(s.Release(0)))
	want := []any{5, "c", "a", "b", "{c}:redlock:line", "{c}:redlock:next", value, 1}
	assert.Equal(t, want, args(s.Release(2))[:len(want)])
}

func TestTheValueIsTheFirstArgumentOfEveryCommand(t *testing.T) {
	for _, fenced := range []bool{false, true} {
		one, several := newSet(fenced, "a"), newSet(fenced, "a", "b")
		one.Enter(new(command.Gate), "a", command.Entry{Node: gate})
		one.Leave("pop", 1, false)
		for _, s := range []*command.Set{one, several} {
			commands := []*node.Command{s.Acquire(0), s.Acquire(gate), s.Release(0), s.Release(gate), s.Extend(ttl), s.Arm(ttl)}
			if fenced {
				commands = append(commands, s.Raise(9))
			}
			for _, c := range commands {
				assert.Equal(t, value, script.First(c.Args))
			}
		}
	}
}
