package redlock

import (
	"context"
	"encoding/json"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/inspect"
	"github.com/b0401464/redlock/internal/lease"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/text"
	"github.com/b0401464/redlock/internal/value"
)

// Inspect tells what the nodes have of a resource: who holds it, for how long, and who
// waits. The answer is outdated when it arrives: print it, and decide nothing by it. To lock
// what is free, use [Locker.TryLock].
//
// It asks all nodes at once, by commands that only read. It returns when all have answered,
// or after the node timeout: that of [WithNodeTimeout] if New was given one, else 1 s. A
// node that does not answer, or cannot tell, has an error in its [NodeState].
//
// The error matches [ErrInvalidArgument] for an empty resource, [ErrShutdown] after
// [Locker.Shutdown], or ctx's error. The State has what was known by then.
//
// More: docs/inspect.md.
func (l *Locker) Inspect(ctx context.Context, resource string) (State, error) {
	leave, err := l.enter(ctx, fault.Inspect, resource)
	if err != nil {
		return State{}, err
	}
	defer leave()
	at := l.locks.Clock.Wall()
	sights := l.reader.Inspect(ctx, resource, l.nodeTimeout())
	s := l.stateOf(inspect.StateOf(resource, at, sights, l.locks.Nodes.Gate(resource), l.addrs))
	if ctx.Err() != nil {
		return s, l.lockError(l.operated(ctx, fault.Inspect, resource))
	}
	return s, nil
}

// Break removes the lock of the holder with that mark, and of no other. It is for an
// operator, when a holder hangs. The holder is not told: it goes on until it next extends or
// unlocks the lock, or its context ends. Meanwhile it overlaps with the next holder, and
// only a fencing token keeps that from doing harm.
//
// mark is that of [LockError.HeldBy], [State] or [Lock.Mark]. Of a lock on several
// resources, only this one is free at once.
//
// The error is nil once a majority does not have the lock any more. It matches
// [ErrOtherHolder] if another holder has it by now, [ErrNoQuorum] if too few nodes answered,
// ctx's error, [ErrShutdown] or [ErrInvalidArgument].
//
// More: docs/inspect.md.
func (l *Locker) Break(ctx context.Context, resource, mark string) error {
	if !value.IsMark(mark) {
		return invalid("mark %s: want 8 hexadecimal digits in lower case, as of Lock.Mark or LockError.HeldBy", text.Quote(mark))
	}
	leave, err := l.enter(ctx, fault.Break, resource)
	if err != nil {
		return err
	}
	defer leave()
	b := l.reader.Break(ctx, resource, mark, l.nodeTimeout())
	l.doubt(resource, mark) //nolint:contextcheck // the lock asks for itself
	f := l.operated(ctx, fault.Break, resource)
	f.Attempts, f.Agreed, f.Failures = 1, b.Agreed, b.Failures
	switch b.Outcome {
	case inspect.Broken:
		return nil
	case inspect.Other:
		f.Kinds, f.Cause, f.By, f.Attempts = []fault.Kind{fault.OtherHolder}, nil, b.By, 0
	case inspect.Unanswered:
		f.Kinds, f.Cause = []fault.Kind{fault.NoQuorum}, nil
	default:
	}
	return l.lockError(f)
}

// A Verdict is the conclusion from what the nodes have of a resource.
type Verdict string

// Verdicts.
const (
	VerdictHeld    Verdict = "held"    // a majority has one and the same value
	VerdictFree    Verdict = "free"    // no node that answered has a value, and the others are no majority
	VerdictSplit   Verdict = "split"   // some nodes have values, and none can have a majority
	VerdictUnknown Verdict = "unknown" // too few nodes answered to decide
)

// A State is what the nodes had of a resource when [Locker.Inspect] read them. It prints as
// a table and marshals to JSON.
type State struct {
	Resource string
	At       time.Time // when the nodes were asked
	Verdict  Verdict
	// Holder has the lock. If the verdict is unknown, it is the only possible holder, or
	// nobody if there are several. Remaining is how long it has the lock at most unless
	// it extends it: Forever if keys have no expiry.
	Holder    Holder
	Remaining time.Duration
	Token     int64       // the largest of the fencing counters, the last token; 0 if there is none
	Gate      int         // which of the clients given to New keeps the line, from 1; 0 if none does
	Waiting   []Waiter    // the line there, the next one first; the first 1000
	Nodes     []NodeState // in the order of the clients given to New
}

// A NodeState is what one node had of a resource.
type NodeState struct {
	Node      int           // which of the clients given to New, from 1
	Addr      string        // as that of a [NodeError]
	Holder    Holder        // the holder whose value is there, or nobody
	Remaining time.Duration // for how long; Forever if the key has no expiry
	Kept      bool          // no value is there: the gate reserves the resource for the next waiter
	Token     int64         // of the fencing counter; 0 if there is none
	Waiting   int           // how many wait in a line there; elsewhere than at the gate, they know other nodes
	Err       error         // a [*NodeError]: why the node has not told what is there
	PartErr   error         // a [*NodeError]: why it has told the holder, and not the counter or the line
}

// A Waiter is a Locker that waits in line for a resource.
type Waiter struct {
	Mark   string    // names the Locker
	Owner  string    // of the [WithOwner] that its New was given; empty if there was none
	Since  time.Time // when it came, by the clock of the gate; zero once it has been called
	Called bool      // the resource is reserved for it
}

// A Holder is who has a lock, by the lock's value on the nodes. The zero Holder is nobody.
type Holder struct {
	Mark  string    // names the value; see [Lock.Mark]
	Owner string    // of its [WithOwner]; empty if it has none, as with another library
	Since time.Time // when it was taken, by the clock of the holder; zero without an owner
}

// String returns a line with the conclusion, a table of the nodes, and one of the line if a
// Locker waits. It does not end in a line break.
func (s State) String() string { return s.plain().String() }

// MarshalJSON returns an object whose names are in snake case. Times are in RFC 3339,
// durations in seconds (−1 for one without an end), and errors are their texts.
func (s State) MarshalJSON() ([]byte, error) { return json.Marshal(s.plain()) }

// doubt has a lock of this Locker that was broken asked for on the nodes, so that its holder
// learns of it at once.
func (l *Locker) doubt(resource, mark string) {
	for _, h := range l.calls.Queues.Holders(nil, []string{resource}) {
		if h, ok := h.(*lease.Hold); ok && h.Name().Mark == mark {
			h.Doubt()
		}
	}
}

// enter begins an operation on a resource that is none on a lock. Shutdown waits until it
// has left.
func (l *Locker) enter(ctx context.Context, op fault.Op, resource string) (leave func(), err error) {
	if err := l.canLock(ctx); err != nil {
		return nil, err
	}
	f := l.operated(ctx, op, resource)
	switch {
	case resource == "":
		return nil, invalid("empty resource")
	case f.Cause != nil:
		return nil, l.lockError(f)
	case !l.locks.Count.Enter():
		f.Kinds = []fault.Kind{fault.Shutdown}
		return nil, l.lockError(f)
	}
	return l.locks.Count.Leave, nil
}

// operated returns the fault of such an operation, for which nothing was sent, with what has
// ended ctx if that has ended.
func (l *Locker) operated(ctx context.Context, op fault.Op, resource string) *fault.Fault {
	nodes := l.locks.Nodes
	f := &fault.Fault{Op: op, Resources: []string{resource}, Nodes: nodes.Size(), Quorum: nodes.Quorum()}
	if ctx.Err() != nil {
		f.Cause = l.locks.CauseOf(ctx)
	}
	return f
}

// nodeTimeout returns that of what is not about one lock.
func (l *Locker) nodeTimeout() time.Duration { return l.config.call.Timeout(time.Minute) }

// attributes returns those of a span.
func (h Holder) attributes() []attribute.KeyValue {
	attrs := []attribute.KeyValue{keyHolderMark.String(h.Mark)}
	if h.Owner != "" {
		attrs = append(attrs, keyHolderOwner.String(h.Owner), keyHolderSince.String(h.Since.UTC().Format(time.RFC3339Nano)))
	}
	return attrs
}

// stateOf returns what was told with errors as the program sees them.
func (l *Locker) stateOf(p inspect.State) State {
	s := State{
		Resource: p.Resource, At: p.At, Verdict: Verdict(p.Verdict), Holder: Holder(p.Holder), Remaining: p.Remaining,
		Token: p.Token, Gate: p.Gate,
	}
	for _, w := range p.Waiting {
		s.Waiting = append(s.Waiting, Waiter(w))
	}
	nodeError := func(i int, err error) error {
		if err == nil {
			return nil
		}
		return l.nodeError(node.Failure{Node: i, Op: node.OpInspect, Err: err})
	}
	for i, n := range p.Nodes {
		s.Nodes = append(s.Nodes, NodeState{
			Node: n.Node, Addr: n.Addr, Holder: Holder(n.Holder), Remaining: n.Remaining, Kept: n.Kept, Token: n.Token,
			Waiting: n.Waiting, Err: nodeError(i, n.Err), PartErr: nodeError(i, n.PartErr),
		})
	}
	return s
}

// plain returns s as what prints it.
func (s State) plain() *inspect.State {
	p := &inspect.State{
		Resource: s.Resource, At: s.At, Verdict: inspect.Verdict(s.Verdict), Holder: value.Holder(s.Holder), Remaining: s.Remaining,
		Token: s.Token, Gate: s.Gate,
	}
	for _, w := range s.Waiting {
		p.Waiting = append(p.Waiting, inspect.Waiter(w))
	}
	reason := func(err error) error { // without which node that is, which stands beside it
		if n, ok := err.(*NodeError); ok && n.Err != nil { //nolint:errorlint // it is one, unless a program has made the State
			return n.Err
		}
		return err
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		p.Nodes = append(p.Nodes, inspect.NodeState{
			Node: n.Node, Addr: n.Addr, Holder: value.Holder(n.Holder), Remaining: n.Remaining, Kept: n.Kept, Token: n.Token,
			Waiting: n.Waiting, Err: reason(n.Err), PartErr: reason(n.PartErr),
		})
	}
	return p
}
