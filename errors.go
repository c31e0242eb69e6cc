package redlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/round"
	"github.com/b0401464/redlock/internal/text"
	"github.com/b0401464/redlock/internal/value"
)

// The kinds of errors. Compare with [errors.Is]; a [*LockError] has the details.
var (
	// ErrContended reports that enough nodes answered and another caller has the lock, or that
	// the votes of several contenders kept splitting.
	ErrContended = errors.New("redlock: held by another")

	// ErrOtherHolder reports, by [Locker.Break], that another holder has the lock by now.
	ErrOtherHolder = errors.New("redlock: another one holds it by now")

	// ErrNoQuorum reports that too few nodes answered in time. From Extend it means that the
	// outcome is unknown, and the lock valid until [Lock.Until]. From Unlock it means that the
	// lock ends by itself after its TTL.
	ErrNoQuorum = errors.New("redlock: too few nodes answered")

	// ErrLockLost reports that the lock expired, or that its value is gone from so many nodes
	// that no majority is left.
	ErrLockLost = errors.New("redlock: lock lost")

	// ErrHoldLimit reports that the limit of [WithAutoExtend] was reached. The lock is not
	// extended any more and ends after the rest of its TTL.
	ErrHoldLimit = errors.New("redlock: limit of automatic extension reached")

	// ErrUnlocked reports the use of a lock after its Unlock.
	ErrUnlocked = errors.New("redlock: already unlocked")

	// ErrShutdown reports that the Locker is shut down. What a waiting call had tried is
	// undone.
	ErrShutdown = errors.New("redlock: locker is shut down")

	// ErrTokenLimit reports that fencing counters have reached the last token, 2^53 − 1. With
	// [ErrNoQuorum], so many nodes have that the resource cannot be locked with [WithFencing]
	// any more, and waiting does not help. A [NodeError] that matches it is about one node.
	ErrTokenLimit = errors.New("redlock: no fencing tokens left")

	// ErrStaleToken reports, by [Fence.Admit], that a later holder has been admitted.
	ErrStaleToken = errors.New("redlock: stale fencing token")

	// ErrInvalidArgument reports an argument or an option that cannot be used, such as an empty
	// resource, or a TTL under 1 ms or not above its drift. Nothing was sent to any node.
	ErrInvalidArgument = errors.New("redlock: invalid argument")
)

// kinds is what the program sees of each kind of fault.
var kinds = [...]struct {
	sentinel error
	name     string // for telemetry
}{
	fault.LockLost:    {ErrLockLost, "lock_lost"},
	fault.HoldLimit:   {ErrHoldLimit, "hold_limit"},
	fault.Unlocked:    {ErrUnlocked, "unlocked"},
	fault.Shutdown:    {ErrShutdown, "shutdown"},
	fault.Contended:   {ErrContended, "contended"},
	fault.OtherHolder: {ErrOtherHolder, "other_holder"},
	fault.TokenLimit:  {ErrTokenLimit, "token_limit"},
	fault.NoQuorum:    {ErrNoQuorum, "no_quorum"},
}

// An Op is what an error is about: an operation on a lock or, of a [NodeError], the
// command that failed on a node.
type Op string

// Values of [LockError.Op] and [NodeError.Op].
const (
	OpLock   Op = "lock"   // Lock and its kin: TryLock, With, Do, LockAll, WithAll
	OpExtend Op = "extend" // Lock.Extend, and its command on a node
	OpUnlock Op = "unlock" // Lock.Unlock
	OpHold   Op = "hold"   // a lock that ended while it was held; the cause of its context
	OpBreak  Op = "break"  // Locker.Break

	OpInspect Op = "inspect" // Locker.Inspect, and what it and Break read on a node

	OpAcquire Op = "acquire" // on a node
	OpRelease Op = "release" // on a node
)

// A LockError reports an operation on which too few nodes agreed, or the end of a lock. It
// matches, by [errors.Is], each of the kinds it stands for. Its text never contains the
// lock's value.
//
// It matches an error of package context only if the context of the call has ended. If the
// end of a lock ended that context (see [Lock.Context]), it matches that end instead.
type LockError struct {
	Op         Op            // OpLock, OpExtend, OpUnlock, OpHold, OpBreak or OpInspect
	Resources  []string      // the resources, sorted
	Attempts   int           // of Lock the first attempt and its retries; 0 if nothing was sent
	Agreed     int           // nodes that agreed in the last finished round
	Quorum     int           // nodes that had to agree
	RetryAfter time.Duration // when a majority may be free again; 0 if unknown, Forever if keys have no expiry
	Nodes      []*NodeError  // nodes that had failed when the last finished round was decided, in node order
	HeldBy     Holder        // the other holder, if it is known; of ErrContended and ErrOtherHolder

	nodes  int           // how many there are
	kinds  []fault.Kind  // it stands for their sentinels
	detail string        // what the kind alone does not say
	of     string        // the value of the lock, if it tells why that has ended
	age    time.Duration // of HeldBy, when the error was made
	cause  error         // the error of the caller's context, if that ended the call; see lease.Locks.CauseOf
}

// Error returns one line that names the operation, the resource, what is known
// of the votes, and each failing node with its reason.
func (e *LockError) Error() string {
	if e == nil {
		return "redlock: nil error"
	}
	var b strings.Builder
	b.WriteString("redlock: " + string(e.Op))
	for i, resource := range e.Resources {
		if i == maxNamed {
			fmt.Fprintf(&b, " and %d more", len(e.Resources)-i)
			break
		}
		b.WriteString(" " + text.Quote(resource))
	}
	b.WriteString(": " + e.reason())
	switch {
	case e.RetryAfter > 0:
		fmt.Fprintf(&b, ", free in %v at the latest unless extended", e.RetryAfter.Round(time.Millisecond))
	case e.RetryAfter == Forever:
		b.WriteString(", never free by itself as its key has no expiry")
	}
	if e.Attempts > 0 {
		fmt.Fprintf(&b, ": %d of %d nodes agreed, %d needed", e.Agreed, e.nodes, e.Quorum)
		if e.Attempts > 1 {
			fmt.Fprintf(&b, " after %d attempts", e.Attempts)
		}
	}
	for _, n := range e.Nodes {
		b.WriteString("; " + n.text())
	}
	return text.OneLine(b.String())
}

// maxNamed bounds how many resources an error's text names.
const maxNamed = 4

func (e *LockError) reason() string {
	text := "failed"
	if len(e.kinds) > 0 {
		text = strings.TrimPrefix(kinds[e.kinds[0]].sentinel.Error(), "redlock: ")
	}
	switch by := value.Holder(e.HeldBy).Text(e.age); {
	case by == "":
	case e.HeldBy.Owner != "" && e.Is(ErrContended):
		text = "held by " + by
	default:
		text += ", " + by
	}
	if e.detail != "" {
		text += ": " + e.detail
	}
	switch {
	case e.cause == nil:
		return text
	case text == "failed":
		return e.cause.Error()
	default:
		return e.cause.Error() + ", last seen: " + text
	}
}

// Is reports whether target is one of the kinds the error stands for.
func (e *LockError) Is(target error) bool {
	return e != nil && slices.ContainsFunc(e.kinds, func(k fault.Kind) bool { return kinds[k].sentinel == target })
}

// Unwrap returns the error of the context that ended the call, or of the lock that ended
// that context, and the errors of the nodes.
func (e *LockError) Unwrap() []error {
	if e == nil {
		return nil
	}
	all := make([]error, 0, 1+len(e.Nodes))
	if e.cause != nil {
		all = append(all, e.cause)
	}
	for _, n := range e.Nodes {
		all = append(all, n)
	}
	return all
}

// ErrorType returns a short constant name of the error for telemetry, one of
// "canceled", "deadline_exceeded", "lock_lost", "hold_limit", "unlocked",
// "shutdown", "contended", "other_holder", "token_limit", "no_quorum" and "_OTHER".
func (e *LockError) ErrorType() string {
	if e == nil {
		return "_OTHER"
	}
	if end, ok := errors.AsType[*LockError](e.cause); ok {
		return end.ErrorType()
	}
	switch {
	case errors.Is(e.cause, context.DeadlineExceeded):
		return "deadline_exceeded"
	case e.cause != nil:
		return "canceled"
	}
	if len(e.kinds) > 0 {
		return kinds[slices.Min(e.kinds)].name // not those of the nodes, which are theirs
	}
	return "_OTHER"
}

// lockError returns the error of f. It runs no code of the program's.
func (l *Locker) lockError(f *fault.Fault) *LockError {
	by := f.By.Holder()
	return &LockError{
		Op: Op(f.Op), Resources: f.Resources, Attempts: f.Attempts, Agreed: f.Agreed, Quorum: f.Quorum,
		RetryAfter: f.RetryAfter, Nodes: l.nodeErrors(f.Failures), HeldBy: Holder(by),
		nodes: f.Nodes, kinds: f.Kinds, detail: f.Detail, of: f.Of, age: by.Age(l.locks.Clock.Wall()), cause: f.Cause,
	}
}

// errorOf returns the error of f, or nil if f is.
func (l *Locker) errorOf(f *fault.Fault) error {
	if f == nil {
		return nil
	}
	return l.lockError(f)
}

// endIn returns the first LockError in the tree of cause if it is the end of a lock, and the
// lock's value.
func endIn(cause error) (of string, end error) {
	if e, ok := errors.AsType[*LockError](cause); ok && e.Op == OpHold {
		return e.of, e
	}
	return "", nil
}

func (l *Locker) nodeError(f node.Failure) *NodeError {
	return &NodeError{Node: f.Node + 1, Addr: l.addrs[f.Node], Op: Op(f.Op.String()), Err: f.Err}
}

func (l *Locker) nodeErrors(failures []node.Failure) []*NodeError {
	var all []*NodeError
	for _, f := range failures {
		all = append(all, l.nodeError(f))
	}
	return all
}

// A NodeError reports that one node failed to answer one command.
type NodeError struct {
	Node int    // which of the clients given to New, from 1
	Addr string // host:port; several, joined by commas, for a Cluster or a Ring; empty if the client does not tell
	Op   Op     // OpAcquire, OpExtend, OpRelease or OpInspect
	Err  error
}

// Error returns one line that names the node, the command and the reason. It cuts long
// reasons.
func (e *NodeError) Error() string { return text.OneLine("redlock: " + e.text()) }

func (e *NodeError) text() string {
	reason := "no error"
	if e.Err != nil {
		reason = text.Shorten(e.Err.Error())
	}
	if e.Addr == "" {
		return fmt.Sprintf("node %d: %s: %s", e.Node, e.Op, reason)
	}
	return fmt.Sprintf("node %d (%s): %s: %s", e.Node, e.Addr, e.Op, reason)
}

// Is reports whether target is [ErrTokenLimit] and the node failed for that reason.
func (e *NodeError) Is(target error) bool {
	return target == ErrTokenLimit && round.IsTokenLimit(e.Err)
}

// Unwrap returns Err, unless Err matches an error of package context. A network time-out of
// the node does, and would read as if the caller's context had ended. It is still in Err and
// in the text.
func (e *NodeError) Unwrap() error {
	if errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, context.Canceled) {
		return nil
	}
	return e.Err
}

// ErrorType returns a short name of the failure for telemetry: "no_answer",
// "timeout", "panic", "same_server", the code of a Redis error such as "LOADING", or the
// name of the error's Go type.
func (e *NodeError) ErrorType() string { return node.ErrorType(e.Err) }

// invalid returns an error that matches ErrInvalidArgument and says what and why.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidArgument, text.OneLine(fmt.Sprintf(format, args...)))
}

// asInvalid returns err as one that matches ErrInvalidArgument; nil if it is nil.
func asInvalid(err error) error {
	if err == nil {
		return nil
	}
	return invalid("%v", err)
}

// resultOf returns the result of an operation: ok, or the type of its error.
func resultOf(err error, ok string) string {
	if err == nil {
		return ok
	}
	return errorType(err)
}

// errorType returns the value of error.type for an error that a caller gets.
func errorType(err error) string {
	if errors.Is(err, ErrInvalidArgument) {
		return "invalid_argument"
	}
	return semconv.ErrorType(err).Value.AsString()
}
