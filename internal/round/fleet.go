// Package round sends commands to all nodes at once and says, as early as the
// votes allow, what came of it.
//
// go-redis obeys a context's deadline in the middle of a command only if it is
// told to, and a cancellation never; with its default options a command can
// come back after 20 s. So every node call runs on a goroutine of its own, or on
// that of a batch, and nobody waits for more votes than the outcome needs. A call that is still
// under way keeps its place in its lane, and what it brings late is dealt with
// by the command that follows it there.
package round

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/alarm"
	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/quorum"
)

// A Client runs a command on one node.
type Client interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// An Op is what a command does on a node.
type Op uint8

// Ops.
const (
	OpAcquire Op = iota + 1
	OpExtend
	OpRelease
)

func (o Op) String() string {
	return [...]string{OpAcquire: "acquire", OpExtend: "extend", OpRelease: "release"}[o]
}

// A Failure is a node that failed to answer a command.
type Failure struct {
	Node int // position in the fleet, from 0
	Op   Op
	Err  error
}

// A Fleet is the nodes of one Locker. It is safe for concurrent use.
type Fleet struct {
	clients []Client
	ways    []way // to the nodes, by node
	debts   []debts
	lanes   *lane.Table
	hooks   Hooks
	errs    []atomic.Pointer[string] // by node: its last error, unless it has answered since
	lines   *lines                   // nil without lines of waiting Lockers
	alarms  alarm.Clock
	timers  sync.Pool // of *timer, stopped
}

// A timer tells on C when its time is over.
type timer struct {
	C     chan struct{} // has room for that
	alarm alarm.Alarm
}

// Wake is for the alarm.
func (t *timer) Wake() { t.C <- struct{}{} }

func (f *Fleet) startTimer(d time.Duration) *timer {
	t, ok := f.timers.Get().(*timer)
	if !ok {
		t = &timer{C: make(chan struct{}, 1)}
	}
	f.alarms.Set(&t.alarm, t, d)
	return t
}

func (f *Fleet) stopTimer(t *timer) {
	if f.alarms.Stop(&t.alarm) { // else it tells, or has told
		f.timers.Put(t)
	}
}

// Hooks are told what happens on the nodes, on the goroutines of node calls.
// ctx has the values of the caller's context and is never done.
type Hooks struct {
	// Failed is called once for each command that failed on a node.
	Failed func(ctx context.Context, f Failure)
	// Late is called for each answer that came after the node timeout.
	Late func(ctx context.Context, node int)
	// Next is called when a gate has told, of a resource that was released there,
	// whether somebody waits, who is to have it next.
	Next func(resource string, somebody bool)
}

// NewFleet returns a fleet of the nodes behind clients.
func NewFleet(clients []Client, hooks Hooks) *Fleet {
	n := len(clients)
	return &Fleet{clients: clients, ways: newWays(clients), debts: make([]debts, n), lanes: lane.NewTable(n), hooks: hooks, errs: make([]atomic.Pointer[string], n)}
}

// Size returns the number of nodes.
func (f *Fleet) Size() int { return len(f.clients) }

// Quorum returns how many nodes make a majority.
func (f *Fleet) Quorum() int { return quorum.Size(len(f.clients)) }

// Open returns how many node calls are under way or wait for their turn.
func (f *Fleet) Open() int { return f.lanes.Open() }

// Idle returns a channel that is closed once no node call is open.
func (f *Fleet) Idle() <-chan struct{} { return f.lanes.Idle() }

// Silent reports whether a node has not answered for that long.
func (f *Fleet) Silent(node int, timeout time.Duration) bool { return f.lanes.Silent(node, timeout) }

// Begin counts work other than node calls as open until End.
func (f *Fleet) Begin() { f.lanes.Begin() }

// End ends what Begin began.
func (f *Fleet) End() { f.lanes.End() }

// background runs f on a goroutine that counts as a node call under way.
func (g *Grant) background(f func()) {
	lanes := g.fleet.lanes
	lanes.Begin()
	g.calls.Go(func() error {
		defer lanes.End()
		f()
		return nil
	})
}

// silence returns the error of a node that has not answered for d.
func (f *Fleet) silence(node int, d time.Duration) *silentError {
	return &silentError{silent: d, last: f.errs[node].Load()}
}
