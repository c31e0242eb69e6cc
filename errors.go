package redlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/b0401464/redlock/internal/round"
)

// The kinds of errors. Compare with [errors.Is]; a [*LockError] has the details.
var (
	// ErrNotAcquired reports that Lock tried and did not get the lock. It
	// always comes with ErrContended or ErrNoQuorum, whichever the last
	// finished attempt ended with, or ErrContended where none was needed, and with the context's error too if that
	// ended the wait. If the context ended before any attempt was finished,
	// only its error stands beside ErrNotAcquired.
	ErrNotAcquired = errors.New("redlock: not acquired")

	// ErrContended reports that enough nodes answered and somebody else has
	// the lock, or that the votes of several contenders kept splitting. For a
	// resource found locked a moment ago the node that keeps its line may be asked
	// alone: it is believed for about half a second, and 0.1 s longer for each one
	// before in the line, until all nodes are asked again. A call that would make
	// one attempt asks nobody while its own Locker holds the resource, or one of them.
	ErrContended = errors.New("redlock: held by another")

	// ErrNoQuorum reports that too few nodes answered in time. From Extend it
	// means that the outcome is unknown and the lock valid until
	// [Lock.Until]; from Unlock, that the lock ends by itself after its TTL.
	ErrNoQuorum = errors.New("redlock: too few nodes answered")

	// ErrLockLost reports that the lock expired, or that its value was taken
	// or wiped on so many nodes that it does not stand on a majority any more.
	ErrLockLost = errors.New("redlock: lock lost")

	// ErrHoldLimit reports that the limit of [WithAutoExtend] was reached. The
	// lock is not extended any more and ends after what is left of its TTL.
	ErrHoldLimit = errors.New("redlock: limit of automatic extension reached")

	// ErrUnlocked reports the use of a lock after its Unlock.
	ErrUnlocked = errors.New("redlock: already unlocked")

	// ErrShutdown reports that the Locker is shut down. What a call that was
	// waiting then had tried is undone.
	ErrShutdown = errors.New("redlock: locker is shut down")

	// ErrTokenLimit reports that fencing counters have reached 2^53 − 1, the last
	// token: of one node if a [NodeError] matches it, of so many that the resource
	// cannot be locked with [WithFencing] any more if [ErrNoQuorum] stands beside it.
	// That ends a call at once: waiting does not help.
	ErrTokenLimit = errors.New("redlock: no fencing tokens left")

	// ErrStaleToken reports, by [Fence.Admit], that a later holder has been there.
	ErrStaleToken = errors.New("redlock: stale fencing token")

	// ErrInvalidArgument reports an argument or an option that cannot be
	// used. Nothing was sent to any node.
	ErrInvalidArgument = errors.New("redlock: invalid argument")
)

// Values of LockError.Op.
const (
	OpLock   = "lock"   // Lock, TryLock, With, LockAll and WithAll
	OpExtend = "extend" // Lock.Extend
	OpUnlock = "unlock" // Lock.Unlock
	OpHold   = "hold"   // a lock that ended while it was held; the cause of its context
)

// A LockError reports an operation that fewer nodes agreed to than needed, or
// the end of a lock. It matches, by [errors.Is], each of the kinds it stands
// for. Its text never contains the lock's value.
type LockError struct {
	Op         string        // OpLock, OpExtend, OpUnlock or OpHold
	Resources  []string      // what was to be locked, sorted
	Attempts   int           // rounds that were begun; 0 if nothing was sent
	Agreed     int           // nodes that agreed in the last finished round
	Quorum     int           // nodes that had to
	RetryAfter time.Duration // when a majority may be free again; 0 if unknown
	Nodes      []*NodeError  // nodes that had failed when the last finished round was decided, in node order

	kinds  []error // the sentinels it stands for
	detail string  // what the kind alone does not say
	cause  error   // the error of the caller's context, if that ended the call
	hold   *hold   // the lock that ended, if Op is OpHold
}

// Error returns one line that names the operation, the resource, what is known
// of the votes, and each failing node with its reason.
func (e *LockError) Error() string {
	if e == nil {
		return "redlock: nil error"
	}
	var b strings.Builder
	b.WriteString("redlock: " + e.Op)
	for i, resource := range e.Resources {
		if i == maxNamed {
			fmt.Fprintf(&b, " and %d more", len(e.Resources)-i)
			break
		}
		b.WriteString(" " + quote(resource))
	}
	b.WriteString(": " + e.reason())
	if e.Attempts > 0 {
		fmt.Fprintf(&b, ": %d of %d required nodes agreed", e.Agreed, e.Quorum)
		if e.Attempts > 1 {
			fmt.Fprintf(&b, " after %d attempts", e.Attempts)
		}
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, ", free in %v at the latest unless extended", e.RetryAfter.Round(time.Millisecond))
	}
	for _, n := range e.Nodes {
		b.WriteString("; " + n.text())
	}
	return oneLine(b.String())
}

// Bounds of what an error's text quotes of names and of what nodes answered.
const (
	maxNamed  = 4
	maxQuoted = 100
	maxReason = 500
)

// oneLine returns s as a line of UTF-8, whatever clients and servers put into
// it: a log takes a line for an event, and an exporter drops a whole batch of
// spans for one that is not UTF-8.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, utf8Of(s))
}

func utf8Of(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func shorten(s string) string {
	if len(s) > maxReason {
		return fmt.Sprintf("%s… (%d bytes)", s[:maxReason], len(s))
	}
	return s
}

func quote(resource string) string {
	if len(resource) > maxQuoted {
		return fmt.Sprintf("%q… (%d bytes)", resource[:maxQuoted], len(resource))
	}
	return fmt.Sprintf("%q", resource)
}

func (e *LockError) reason() string {
	text := "failed"
	for _, kind := range e.kinds {
		if kind != ErrNotAcquired { //nolint:errorlint // kinds are the sentinels themselves
			text = strings.TrimPrefix(kind.Error(), "redlock: ")
			break
		}
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
	return e != nil && slices.Contains(e.kinds, target)
}

// Unwrap returns the context's error, if that ended the call, and the errors
// of the nodes.
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
// "shutdown", "contended", "token_limit", "no_quorum" and "_OTHER".
func (e *LockError) ErrorType() string {
	switch {
	case e == nil:
		return "_OTHER"
	case errors.Is(e.cause, context.DeadlineExceeded):
		return "deadline_exceeded"
	case e.cause != nil:
		return "canceled"
	}
	for _, t := range errorTypes {
		if e.Is(t.kind) { // not errors.Is: those of the nodes are theirs
			return t.name
		}
	}
	return "_OTHER"
}

var errorTypes = []struct {
	kind error
	name string
}{
	{ErrLockLost, "lock_lost"},
	{ErrHoldLimit, "hold_limit"},
	{ErrUnlocked, "unlocked"},
	{ErrShutdown, "shutdown"},
	{ErrContended, "contended"},
	{ErrTokenLimit, "token_limit"},
	{ErrNoQuorum, "no_quorum"},
}

// Values of NodeError.Op.
const (
	NodeAcquire = "acquire"
	NodeExtend  = "extend"
	NodeRelease = "release"
)

// A NodeError reports that one node failed to answer one command.
type NodeError struct {
	Node int    // position among the clients given to New, from 0
	Addr string // host:port; several, joined by commas, for a Cluster or a Ring; empty if the client does not tell
	Op   string // NodeAcquire, NodeExtend or NodeRelease
	Err  error
}

// Error names the node, the command and the reason in one line, long reasons cut.
func (e *NodeError) Error() string { return oneLine("redlock: " + e.text()) }

func (e *NodeError) text() string {
	reason := "no error"
	if e.Err != nil {
		reason = shorten(e.Err.Error())
	}
	if e.Addr == "" {
		return fmt.Sprintf("node %d: %s: %s", e.Node, e.Op, reason)
	}
	return fmt.Sprintf("node %d (%s): %s: %s", e.Node, e.Addr, e.Op, reason)
}

// Is reports whether target is [ErrTokenLimit] and that is why the node failed.
func (e *NodeError) Is(target error) bool {
	return target == ErrTokenLimit && round.IsTokenLimit(e.Err)
}

// Unwrap returns Err, unless that matches an error of package context: a
// network time-out of the node's own does, and would read as if the caller's
// context had ended. It is still in Err and in the text.
func (e *NodeError) Unwrap() error {
	if errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, context.Canceled) {
		return nil
	}
	return e.Err
}

// ErrorType returns a short name of the failure for telemetry: "no_answer",
// "timeout", "panic", the code of a Redis error such as "LOADING", or the name of the
// error's Go type.
func (e *NodeError) ErrorType() string { return round.ErrorType(e.Err) }

// invalid returns an error that matches ErrInvalidArgument and says what and why.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidArgument, oneLine(fmt.Sprintf(format, args...)))
}

// ended returns the error of a context that is done. A cause that its owner gave
// is in the text only: it says why the context ended, and must not be taken for
// what became of this lock.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w (%s)", err, oneLine(shorten(cause.Error())))
}

// An optionsError is what was wrong with the options of one call, or with the
// instruments of a provider.
type optionsError []error

func (e optionsError) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (e optionsError) Unwrap() []error { return e }

// join returns the errors that are not nil as one of a single line.
func join(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return optionsError(errs)
}
