package redlock

import (
	"context"
	"time"

	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/inspect"
	"github.com/b0401464/redlock/internal/lease"
	"github.com/b0401464/redlock/internal/value"
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

// Break removes the lock of the holder with that mark, and of no other one. The holder is
// not told: it learns that its lock is lost when it next extends it, by hand or
// automatically, or when it unlocks it, and goes on until then or until its context ends. The
// next holder overlaps with it, and only a fencing token keeps that from doing harm
// ([WithFencing]). It is for an operator, when a holder hangs and its TTL is too long to wait.
//
// Each node removes the value only if it is the one with that mark, so that a holder who has
// come meanwhile is not hit. The next one in line is called as after an Unlock. Of a lock
// on several resources only this one is free at once: it is lost as a whole when its holder next
// extends it. mark is that of [LockError.HeldBy],
// [State] or [Lock.Mark].
//
// The error is nil once a majority has removed the lock or has it not. It matches
// [ErrOtherHolder] if a majority has the lock of another one, who is in
// [LockError.HeldBy]; [ErrNoQuorum] if too few nodes answered: call Break again; ctx's error
// if that ended the wait, while the removal goes on; [ErrShutdown]; and [ErrInvalidArgument].
// It waits for the node timeout twice at most; see [Locker.Inspect].
//
// More: docs/inspect.md.
func (l *Locker) Break(ctx context.Context, resource, mark string) error {
	if !value.IsMark(mark) {
		return invalid("mark %s: want 8 hexadecimal digits in lower case, as of Lock.Mark or LockError.HeldBy", fault.Quote(mark))
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
