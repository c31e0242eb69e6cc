package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/b0401464/redlock/internal/batch"
	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/lane"
)

// An Owner has a value put on the nodes, and removed. It knows what has become of it on
// each, by what the calls tell.
type Owner interface {
	// Until returns how long the value may be on a node at most, by all that was sent
	// there; zero if it never was.
	Until(node int) time.Time
	// GivenUp is told that the node has not answered for the node timeout, and the next
	// commands of the lanes are sent. The call may end at any time after that, or never, and
	// so may what it does. Until it has ended, all of it counts as what may have been done.
	GivenUp(v *Call)
	// Concluded is told once what a command has done, before the next one of its lane is
	// sent unless it was given up. That GivenUp is told may come just after this then.
	Concluded(v *Call, in Vote, givenUp bool)
	// Retrying and Retried are told that a release is sent again to a node that is owed it,
	// and what the node has said, or Failed, and what that has done.
	Retrying(node int)
	Retried(node int, said Kind, e Effect)
}

// A Call is one command to one node, from its place in the lanes to its vote.
//
// go-redis obeys a context's deadline in the middle of a command only if it is told to, and
// a cancellation never; with its default options a command can come back after 20 s. So a
// call runs on a goroutine of its own, or on that of a batch. While it is under way it keeps
// its place until the node timeout is over. What it brings late is dealt with by the command
// that follows it there, or, if that was sent without waiting any longer, by another release
// when the call has come back.
type Call struct {
	// Set before Begin.
	Owner   Owner
	Ctx     context.Context //nolint:containedctx // has the values of the caller's, and is never done
	Command *Command        // as it is for the node
	Node    *Node
	Place   *lane.Place
	To      Ballot
	Sent    time.Time
	Once    bool // go-redis is kept from sending a command again

	queue   *batch.Queue // what commands go through; nil if each goes by itself
	apart   bool         // they share no batch
	native  string       // the command of the server that goes first, until it has; empty for none
	again   time.Time    // when the script was asked behind that; zero if it was not
	copied  bool         // it may have done something though it has failed
	unsent  bool         // an acquire was not sent, as the server cannot delete what it would grant
	awaited bool         // somebody waits for what a native release has released, and is to be called
	// told says that its failure has been told of, or that there is none to tell of.
	told   atomic.Bool
	wanted wanted         // what is sent is
	cmd    wantedCmd      // that, where go-redis may send it again
	setCmd wantedSet      // or that
	room   [3 + 3 + 4]any // for its arguments
	used   atomic.Bool    // the room is

	next  *Call // that is to be run
	mu    sync.Mutex
	ended bool // before it was given up
}

// Begin has the node called when its turn comes, and returns. What the node says is filed
// as its vote. A node without a place votes at once, unless it was not asked. Nobody waits
// for the goroutine of the call: the lane table counts it through its place, until all that
// is left to do is to file the vote.
func (v *Call) Begin() {
	if v.Place.Taken() {
		v.Once = v.Once || v.Node.sendsOnce()
		v.native = v.Node.native.command(v.Command, v.Node.distance(v.resource()))
		v.Place.Then(v)
		return
	}
	in := v.absent()
	if in.Kind == None {
		return
	}
	if v.Command.Op == OpRelease && in.Kind == Failed { // what another process has put there
		v.owe(v.Owner.Until(v.Node.Index), time.Now().Add(redial))
	}
	v.To.File(v.Ctx, v.Node.Index, in)
}

// absent returns the vote of a node that was given no place.
func (v *Call) absent() Vote {
	switch p := v.Place; p.Reason() {
	case lane.Behind:
		if p.SilentFor() > 0 { // else the earlier command may be answered in time
			v.Tell(ErrBehind)
		}
		return Vote{Kind: Failed, Err: ErrBehind}
	case lane.Full:
		err := v.Node.silence(p.SilentFor())
		err.full = true
		v.Tell(err)
		return Vote{Kind: Failed, Err: err}
	case lane.Unneeded:
		return Vote{Kind: Skipped}
	default: // lane.Unwanted
		return Vote{}
	}
}

// Tell tells that the node has failed, unless that was told, or the command has been
// carried out: who calls it does not know what has come meanwhile. It does not block.
func (v *Call) Tell(err error) {
	if v.told.CompareAndSwap(false, true) {
		v.Node.lanes.Go(func() { v.failed(err) })
	}
}

// Told reports whether Tell has nothing to tell any more.
func (v *Call) Told() bool { return v.told.Load() }

func (v *Call) failed(err error) {
	v.Node.hooks.Failed(v.Ctx, Failure{Node: v.Node.Index, Op: v.Command.Op, Err: err})
}

// Due is told that the command is to be sent, or that the place has been dropped.
func (v *Call) Due(send bool) {
	if !send {
		v.told.Store(true) // the node was not asked
		v.file(Vote{Kind: Skipped})
		return
	}
	if v.Place.Queued() {
		v.Sent = time.Now()
	}
	if v.overdue(v.Sent) {
		v.told.Store(true)
		v.Place.Done(false)
		v.file(Vote{Kind: Skipped})
		return
	}
	v.queue = v.Node.queues.Of(v.resource())
	if v.queue == nil || v.native == "" && v.Node.native.only {
		v.Node.start(v)
		return
	}
	var args []any
	if v.native != "" {
		args = v.nativeArgs()
	} else {
		args = v.args(v.Command, v.Sent)
	}
	x := v.command(v.Command, args)
	x.To = v
	v.queue.Send(x)
}

// worthRepeating reports whether a command that failed has a purpose yet. Who finds no
// connection has tried five times, by default; a release tries again all the same.
func (v *Call) worthRepeating(err error) bool {
	return !v.overdue(time.Now()) && !v.wanted.givenUp.Load() && !errors.Is(err, errSame) && (v.Command.Op == OpRelease || !client.Unconnected(err))
}

// overdue reports whether the command has lost its purpose.
func (v *Call) overdue(now time.Time) bool {
	return !v.Command.Until.IsZero() && !now.Before(v.Command.Until)
}

func (v *Call) resource() string { return v.Place.Resources()[0] }

// command returns a command for the queue.
func (v *Call) command(c *Command, args []any) batch.Command {
	return batch.Command{
		Ctx: v.Ctx, Cmd: v.newCmd(args), And: v.and(),
		Value: c.value(), Patience: v.Place.Timeout(), Apart: v.apart,
	}
}

// Answered deals with what a batch has brought at that moment, on the goroutine of all its
// calls: what may call the program, or the node again, has one of its own.
func (v *Call) Answered(a client.Answer, at time.Time) {
	n, took := v.Node, at.Sub(v.Sent)
	var in Vote
	if a.Err != nil || took > v.Place.Timeout() || v.wantsScript(a) || in.read(v.Command, v.said(a).Reply) != nil || in.had ||
		in.Kind == Refused && n.Owes() {
		first := a // apart, so that a is not on the heap each time
		n.calls.Go(func() error {
			v.run(&first)
			return nil
		})
		return
	}
	in.Effect = v.effect(v.Command, in.Kind, nil, v.Sent)
	switch v.native {
	case "":
		n.cache.knows(v.Command, v.resource(), nil, at)
	case plain:
		n.cache.knows(v.Command.Plain, v.resource(), nil, at)
	}
	n.note(v.Command, nil)
	n.native.told(in.native)
	v.tell(v.Command, &in)
	n.timed(took)
	v.told.Store(true)
	v.conclude(in)
	v.Place.DoneAt(at, true)
	v.file(in)
}

func (v *Call) file(in Vote) {
	in.By = v
	v.To.File(v.Ctx, v.Node.Index, in)
}

// run calls the node, or goes on with what it has said already, and brings the call
// to its end.
func (v *Call) run(first *client.Answer) {
	in, answered, filed := Vote{Kind: Failed, Err: client.ErrNoReturn, Effect: Maybe}, false, false
	// If the client or the handler calls runtime.Goexit, too. The place is given up
	// after the report: who waits for the lanes waits for that as well.
	defer func() {
		if !filed {
			v.conclude(in)
		}
		v.Place.Done(answered)
		if !filed {
			v.file(in)
		}
	}()
	defer func() {
		if !v.told.Swap(true) && in.Kind == Failed {
			v.failed(in.Err)
		}
	}()
	got, answered, err := v.ask(v.Sent, first)
	if err != nil && v.sentOnce(v.Command) && v.worthRepeating(err) {
		// The one repeat of a command that go-redis does not repeat. It goes by itself,
		// as what has failed may be the batch it was in, and it may be why; unless a
		// connection is what is missing, which the next batch may have.
		switch {
		case client.Unconnected(err):
		case client.Disconnected(err):
			v.apart = true
		default:
			v.queue = nil
		}
		in.Effect = got.Effect // should the client not return
		v.wanted.copied.Store(true)
		got, answered, err = v.ask(time.Now(), nil)
		got.Effect = in.Effect.Then(got.Effect)
	}
	got, answered, err = v.settleFirst(got, answered, err)
	got.Slow = time.Since(v.Sent) > v.Place.Timeout()
	if answered && got.Slow {
		v.Node.hooks.Late(v.Ctx, v.Node.Index)
	}
	if err != nil {
		got = Vote{Kind: Failed, Err: err, Slow: got.Slow, Effect: got.Effect}
	}
	in = got
	if v.awaited && err == nil {
		// The node has said what has become of the lock. To call the next one may take long, or fail.
		filed = true
		v.told.Store(true)
		v.conclude(in)
		v.file(in)
		v.callNext()
	}
}

// GiveUp is told that the node has not answered for the node timeout, so that the next
// commands of the lanes are sent.
func (v *Call) GiveUp() {
	v.wanted.givenUp.Store(true)
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.ended { // just before
		v.Owner.GivenUp(v)
	}
}

// conclude brings what a command has done to its owner, and has a release that has failed
// tried again while there may be something to release.
func (v *Call) conclude(in Vote) {
	v.mu.Lock()
	givenUp := v.Place.GivenUp()
	v.ended = !givenUp
	v.Owner.Concluded(v, in, givenUp)
	v.mu.Unlock()
	if !givenUp && v.Command.Op == OpRelease && in.Kind == Failed && !final(in.Err) {
		v.owe(v.Owner.Until(v.Node.Index), time.Now().Add(redial))
	}
}

// Owe has a release sent to the node of the call, by itself, and again until the node
// has carried it out or, at that moment, the value cannot be there any more.
func (v *Call) Owe(release *Command, until time.Time) {
	again := &Call{Owner: v.Owner, Ctx: v.Ctx, Command: release, Node: v.Node, Place: v.Place}
	again.owe(until, time.Now())
}
