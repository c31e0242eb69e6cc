package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/b0401464/redlock/internal/value"
)

// A Vote is what one node made of a command.
type Vote struct {
	Kind    Kind
	Effect  Effect   // of all that was sent of it
	Slow    bool     // it came after the node timeout
	Twice   bool     // the node was asked twice, as a native command came first
	Next    bool     // of a release at a gate: somebody waits, and is to have the resource next
	had     bool     // of a grant: the value was there before
	native  string   // of a release: which command of the server does the same, if that is told
	Err     error    // of a failure
	Counter int64    // of a grant: what the fencing counter stands at
	More    *Details // of a refusal; of a release at a gate if somebody waits
	By      *Call    // that has brought it
}

// Details are apart from the vote, as most have none.
type Details struct {
	value.Name // of the holder's value, of a refusal

	// Of a refusal.
	Left time.Duration // how long the holder's key lasts; negative if it has no expiry
	Rank int           // at a gate: how many are before; negative if not in the line
	Came string        // at a gate: when the Locker came first

	Told []any // of a release of several resources: which of them are to be somebody's next
}

// A Ballot is what the votes on a command are handed in to.
type Ballot interface {
	// File hands in the vote of a node, on whatever goroutine. It is called once for
	// each node asked. ctx has the values of the caller's, and is never done.
	File(ctx context.Context, node int, v Vote)
}

// A Kind is what a node has said, or that it has not.
type Kind uint8

// Kinds.
const (
	None     Kind = iota
	Failed        // no answer, or an error
	Granted       // acquire: the value is there
	Refused       // acquire: another value is there
	Extended      // extend: the value was there and lasts as long as asked
	Gone          // extend: nothing is there
	Taken         // extend: another value is there
	Removed       // release: the value was there
	NotOurs       // release: it was not
	Skipped       // dropped before it was sent, or nothing to do
)

// An Effect is what sending a command, once or more often, has done on a node. That of
// a refusal, which says that it has done nothing, tells what earlier copies may have.
type Effect uint8

// Effects.
const (
	Undone Effect = iota // nothing, for certain
	Maybe                // it may have been done, or may yet be when a copy arrives
	Done
)

// Then returns the effect of both.
func (e Effect) Then(later Effect) Effect {
	if e == Undone || later == Done {
		return later
	}
	return e
}

// ReservedMark is in place of a mark where a gate keeps a resource for a Locker that waits.
const ReservedMark = "next"

// oursMark is in place of a mark where an acquire finds its own value.
const oursMark = "ours"

// nativeMark says that a release tells of the commands of its server.
const nativeMark = "native"

// read turns the reply to a command into a vote.
func (v *Vote) read(c *Command, reply any) error {
	if all, ok := reply.([]any); ok && c.Op == OpRelease && c.Plain != nil && len(all) >= 2 && all[1] == ReservedMark {
		v.Next, v.More, reply = true, &Details{Told: all[2:]}, all[0]
	}
	if all, ok := reply.([]any); ok && c.Op == OpRelease && len(all) == 3 && all[1] == nativeMark {
		v.native, _ = all[2].(string)
		reply = all[0]
	}
	n, _ := reply.(int64)
	if all, ok := reply.([]any); ok && c.Op == OpAcquire && c.Reply != Raises && len(all) == 2 && all[1] == oursMark {
		n, _ = all[0].(int64)
		v.had = true
	}
	yes := n == 1 || n > 1 && c.Reply != IsOne
	switch op := c.Op; {
	case op == OpAcquire && yes:
		v.Kind = Granted
		if c.Reply != IsOne {
			v.Counter = n
		}
	case op == OpAcquire && c.Reply != Raises:
		return v.readRefusal(reply)
	case op == OpExtend && yes:
		v.Kind = Extended
	case op != OpRelease && n == -1:
		v.Kind = Gone
	case op != OpRelease && n == -2:
		v.Kind = Taken
	case op == OpRelease && n == 1:
		v.Kind = Removed
	case op == OpRelease && n == -1:
		v.Kind = NotOurs
	default:
		return Unexpected(reply)
	}
	return nil
}

func (v *Vote) readRefusal(reply any) error {
	fields, _ := reply.([]any)
	d := &Details{Rank: -1}
	switch len(fields) {
	case 2:
	case 4: // of a gate
		rank, ok := fields[2].(int64)
		came, isString := fields[3].(string)
		if !ok || !isString {
			return Unexpected(reply)
		}
		d.Rank, d.Came = int(min(max(rank, -1), math.MaxInt32)), came
	default:
		return Unexpected(reply)
	}
	left, ok := fields[0].(int64)
	name, isString := fields[1].(string)
	if !ok || !isString {
		return Unexpected(reply)
	}
	d.Name, d.Left = value.ReadName(name), Milliseconds(left)
	v.Kind, v.More = Refused, d
	return nil
}

// Milliseconds returns n ms, at most what a Duration can be; -1 ms for any
// negative n.
func Milliseconds(n int64) time.Duration {
	return time.Duration(max(min(n, math.MaxInt64/int64(time.Millisecond)), -1)) * time.Millisecond
}

// Unexpected returns the error of a reply that no command of the library has.
func Unexpected(reply any) error {
	if reply == nil {
		return errors.New("no reply was set: is the client a pipeline, or a stub?")
	}
	return fmt.Errorf("unexpected reply of type %T", reply)
}
