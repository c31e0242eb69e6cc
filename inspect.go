package redlock

import (
	"context"
	"time"

	"github.com/b0401464/redlock/internal/fault"
)

// Inspect tells what the nodes have of a resource: who holds it, for how long, who waits.
// It is outdated when it arrives: print it, and decide nothing by it. To lock what is
// free, use TryLock.
//
// It asks all nodes at once, by commands that only read, and changes nothing. It returns
// when all have answered, or after the node timeout: that of [WithNodeTimeout] if New was
// given one, else 1 s. A node that does not answer, or cannot tell, has an error in its
// [NodeState]; nobody else is told of it. What other libraries have put there is the lock
// of a holder without an owner.
//
// The error matches [ErrInvalidArgument] for an empty resource, [ErrShutdown] after
// [Locker.Shutdown], or ctx's error if that has ended: the State has what was told by then.
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
	s := l.stateOf(resource, at, sights)
	if ctx.Err() != nil {
		return s, l.lockError(l.operated(ctx, fault.Inspect, resource))
	}
	return s, nil
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
