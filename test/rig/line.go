package rig

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// A Process has clients of its own for the nodes, so that it can die.
type Process struct {
	Clients []*redis.Client
	Locker  *redlock.Locker
}

// NewProcess returns a process with a Locker on nodes.
func NewProcess(t *testing.T, nodes []*Node) *Process {
	t.Helper()
	p := new(Process)
	for _, n := range nodes {
		c := redis.NewClient(n.Client.Options())
		t.Cleanup(func() { _ = c.Close() })
		p.Clients = append(p.Clients, c)
	}
	l, err := redlock.New(p.Clients)
	require.NoError(t, err)
	p.Locker = l
	return p
}

// Die ends the connections of the process, and all that it would still do.
func (p *Process) Die() {
	for _, c := range p.Clients {
		_ = c.Close()
	}
}

// InTurn waits for a lock without an end.
var InTurn = redlock.WithRetry(redlock.Forever, 400*time.Millisecond)

// The keys of the line for "a".
const (
	LineOfA = "{a}:redlock:line" // who waits
	NextOfA = "{a}:redlock:next" // who has been called
)

// GateOf returns the node that keeps the line of "a", in which somebody waits.
func GateOf(t *testing.T, nodes []*Node) *Node {
	t.Helper()
	for _, n := range nodes {
		if n.Exists(LineOfA) {
			return n
		}
	}
	require.Fail(t, "nobody waits in line")
	return nil
}

// Waiting returns how many Lockers stand in the line for "a".
func Waiting(t *testing.T, nodes []*Node) int {
	t.Helper()
	all := 0
	for _, n := range nodes {
		if n.Exists(LineOfA) {
			members, err := n.ZMembers(LineOfA)
			require.NoError(t, err)
			all += len(members)
		}
	}
	return all
}

// RequireNoLine requires that nothing is left of the line for "a".
func RequireNoLine(t *testing.T, nodes []*Node) {
	t.Helper()
	synctest.Wait()
	time.Sleep(time.Second) // a reservation lasts no longer
	for i, n := range nodes {
		assert.Empty(t, n.Keys(), "node %d", i)
	}
}

// Listening returns the channels that somebody listens to.
func Listening(nodes []*Node) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, n.PubSubChannels("*")...)
	}
	return all
}

// WaitBehind has n processes wait for "a", some milliseconds after each other, until
// the returned function is called.
func WaitBehind(t *testing.T, nodes []*Node, n int, opts ...redlock.Option) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range n {
		l, err := redlock.New(NewProcess(t, nodes).Clients, opts...)
		require.NoError(t, err)
		all.Go(func() {
			k, err := l.Lock(ctx, "a", TTL, InTurn)
			if assert.Error(t, err, "two holders") {
				assert.ErrorIs(t, err, context.Canceled)
			} else {
				_ = k.Unlock(context.WithoutCancel(ctx))
			}
			assert.NoError(t, l.Shutdown(context.WithoutCancel(ctx)))
		})
		time.Sleep(3 * time.Millisecond)
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// LineAndNone are the options of a Locker that queues, and of one that polls.
var LineAndNone = map[string][]redlock.Option{"with a line": nil, "without": {redlock.WithoutWaitingLine()}}

// FindGate returns the gate of "a", and leaves nothing behind.
func FindGate(t *testing.T, nodes []*Node) (gate *Node, others []*Node) {
	t.Helper()
	k := Lock(t, NewLocker(t, nodes))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	l := NewLocker(t, nodes)
	go func() {
		defer close(done)
		_, _ = l.Lock(ctx, "a", TTL, InTurn)
	}()
	time.Sleep(50 * time.Millisecond)
	gate = GateOf(t, nodes)
	cancel()
	<-done
	require.NoError(t, k.Unlock(t.Context()))
	synctest.Wait()
	time.Sleep(10 * time.Second)
	synctest.Wait()
	for _, n := range nodes {
		require.Empty(t, n.Keys())
		if n != gate {
			others = append(others, n)
		}
	}
	require.Empty(t, Listening(nodes))
	return gate, others
}
