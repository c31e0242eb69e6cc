// Package round sends a command to all nodes at once and says, as early as the votes allow,
// what came of it; and it does what follows from what the value of a lock has become on each
// node, which package ledger keeps, from the attempt to the release. It promises that nobody
// waits for more votes than the outcome needs, and that late ones count where they still tell
// something. It knows nothing of callers,
// retries and leases, nor of how a node is called. Packages acquire and lease call it.
package round

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/b0401464/redlock/internal/alarm"
	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/quorum"
)

// Nodes are the nodes of one Locker. It is safe for concurrent use.
type Nodes struct {
	each   []*node.Node
	lanes  *lane.Table
	hooks  Hooks
	lines  *lines // nil without lines of waiting Lockers
	alarms alarm.Clock
	timers sync.Pool // of *timer, stopped
	plain  bool      // no scripts are run
	least  any       // for how many ms a node that acquires is up; nil if that does not matter

	// Clock tells for how long locks last, and how late nodes are with them.
	Clock *clock.Clock
}

// A timer tells on C when its time is over.
type timer struct {
	C     chan struct{} // has room for that
	alarm alarm.Alarm
}

// Wake is for the alarm.
func (t *timer) Wake() { t.C <- struct{}{} }

func (f *Nodes) startTimer(d time.Duration) *timer {
	t, ok := f.timers.Get().(*timer)
	if !ok {
		t = &timer{C: make(chan struct{}, 1)}
	}
	f.alarms.Set(&t.alarm, t, d)
	return t
}

func (f *Nodes) stopTimer(t *timer) {
	if f.alarms.Stop(&t.alarm) { // else it tells, or has told
		f.timers.Put(t)
	}
}

// Hooks are told what happens on the nodes, on the goroutines of node calls.
// ctx has the values of the caller's context and is never done.
type Hooks struct {
	// Failed is called once for each command that failed on a node, or that a call
	// did not wait for any more.
	Failed func(ctx context.Context, f node.Failure)
	// Late is called for each answer that came after the node timeout.
	Late func(ctx context.Context, node int)
	// Next is called when a gate has told, of a resource that was released there,
	// whether somebody waits, who is to have it next.
	Next func(resource string, somebody bool)
	// Stray is called when a gate has refused in favour of a value that is no lock, as a
	// majority has granted the resource to this Locker.
	Stray func(resource, mark string)
}

// NewNodes returns the nodes behind clients.
func NewNodes(clients []client.Client, hooks Hooks) *Nodes {
	f := &Nodes{lanes: lane.NewTable(len(clients)), hooks: hooks, Clock: new(clock.Clock)}
	f.each = node.New(clients, f.lanes, &f.alarms, node.Hooks{Failed: hooks.Failed, Late: hooks.Late})
	for i, c := range clients {
		f.lanes.Bound(i, client.Connections(c))
	}
	return f
}

// EnableBatches has the commands for each client that can take batches sent in them.
func (f *Nodes) EnableBatches() {
	for _, n := range f.each {
		n.EnableBatches()
	}
}

// DisableScripts has all nodes do without scripts. Then there are no lines and no tokens, a lock
// is on one resource, and each command that lets it last is for its own TTL.
func (f *Nodes) DisableScripts() {
	f.plain = true
	for _, n := range f.each {
		n.DisableScripts()
	}
}

// Quarantine has nodes acquire only once their servers have been up for so long.
func (f *Nodes) Quarantine(d time.Duration) {
	f.least = d.Milliseconds() + 1 // what is cut off counts
}

// Scripts reports whether the nodes run scripts.
func (f *Nodes) Scripts() bool { return !f.plain }

// Clients returns the nodes' clients.
func (f *Nodes) Clients() []client.Client {
	all := make([]client.Client, len(f.each))
	for i, n := range f.each {
		all[i] = n.Client
	}
	return all
}

// Size returns the number of nodes.
func (f *Nodes) Size() int { return len(f.each) }

// Node returns one of the nodes.
func (f *Nodes) Node(i int) *node.Node { return f.each[i] }

// Quorum returns how many nodes make a majority.
func (f *Nodes) Quorum() int { return quorum.Size(len(f.each)) }

// Open returns how many node calls are under way or wait for their turn.
func (f *Nodes) Open() int { return f.lanes.Open() }

// Idle returns a channel that is closed once no node call is open.
func (f *Nodes) Idle() <-chan struct{} { return f.lanes.Idle() }

// Silent reports whether a node has not answered for that long.
func (f *Nodes) Silent(node int, timeout time.Duration) bool { return f.lanes.Silent(node, timeout) }

// Answers reports whether a majority of the nodes is not silent.
func (f *Nodes) Answers(timeout time.Duration) bool {
	silent := 0
	for node := range f.Size() {
		if f.Silent(node, timeout) {
			silent++
		}
	}
	return silent <= quorum.Spare(f.Size())
}

// Heard reports whether a majority of the nodes has answered something since then, or all that
// it was asked before.
func (f *Nodes) Heard(since time.Time) bool {
	heard := 0
	for node := range f.Size() {
		if f.lanes.Answered(node, since) {
			heard++
		}
	}
	return heard >= f.Quorum()
}

// Begin counts work other than node calls as open until End.
func (f *Nodes) Begin() { f.lanes.Begin() }

// End ends what Begin began.
func (f *Nodes) End() { f.lanes.End() }

// Go runs do on a goroutine that counts as open.
func (f *Nodes) Go(do func()) { f.lanes.Go(do) }

// Slow reports whether a node is not to be waited for alone; see [node.Node.Slow].
func (f *Nodes) Slow(node int) bool { return f.each[node].Slow() }

// Late reports whether an attempt has taken much longer than each of the nodes usually does:
// they had hung, and may be well again.
func (f *Nodes) Late(took, timeout time.Duration) bool {
	return !slices.ContainsFunc(f.each, func(n *node.Node) bool { return took <= n.Lateness(timeout) })
}

// Renewal returns how often to ask a gate that is far away; see [node.Node.Renewal].
func (f *Nodes) Renewal(node int) (d time.Duration, far bool) { return f.each[node].Renewal() }

// Looks reports whether who stands in a line of that node has to look when its turn is.
func (f *Nodes) Looks(node int) bool { return f.each[node].Looks() }

// LetGo has all releases that the nodes are owed, and will be, tried a few times more at most,
// soon. That counts as node calls under way.
func (f *Nodes) LetGo() {
	for _, n := range f.each {
		n.LetGo()
	}
}

// Owes reports whether a node is owed a release.
func (f *Nodes) Owes() bool { return slices.ContainsFunc(f.each, (*node.Node).Owes) }
