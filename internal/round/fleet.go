// Package round sends commands to all nodes at once and says, as early as the
// votes allow, what came of it.
//
// go-redis obeys a context's deadline in the middle of a command only if it is
// told to, and a cancellation never; with its default options a command can
// come back after 20 s. So every node call runs on a goroutine of its own, and
// nobody waits for more votes than the outcome needs. A call that is still
// under way keeps its place in its lane, and what it brings late is dealt with
// by the command that follows it there.
package round

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/script"
)

// A Client runs a command on one node.
type Client interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// An Op is what a command does on a node.
type Op string

// Ops.
const (
	OpAcquire Op = "acquire"
	OpExtend  Op = "extend"
	OpRelease Op = "release"
)

// A Failure is a node that failed to answer a command.
type Failure struct {
	Node int // position in the fleet, from 0
	Op   Op
	Err  error
}

// A Fleet is the nodes of one Locker. It is safe for concurrent use.
type Fleet struct {
	clients []Client
	lanes   *lane.Table
	hooks   Hooks
	errs    []atomic.Pointer[string] // by node: its last error, unless it has answered since
	timers  sync.Pool                // of *time.Timer, stopped: a round needs one each, at three allocations
}

func (f *Fleet) startTimer(d time.Duration) *time.Timer {
	if t, ok := f.timers.Get().(*time.Timer); ok {
		t.Reset(d)
		return t
	}
	return time.NewTimer(d)
}

func (f *Fleet) stopTimer(t *time.Timer) {
	t.Stop()
	f.timers.Put(t)
}

// Hooks are told what happens on the nodes, on the goroutines of node calls.
// ctx has the values of the caller's context and is never done.
type Hooks struct {
	// Failed is called once for each command that failed on a node.
	Failed func(ctx context.Context, f Failure)
	// Late is called for each answer that came after the node timeout.
	Late func(ctx context.Context, node int)
}

// NewFleet returns a fleet of the nodes behind clients.
func NewFleet(clients []Client, hooks Hooks) *Fleet {
	n := len(clients)
	return &Fleet{clients: clients, lanes: lane.NewTable(n), hooks: hooks, errs: make([]atomic.Pointer[string], n)}
}

// Size returns the number of nodes.
func (f *Fleet) Size() int { return len(f.clients) }

// Quorum returns how many nodes make a majority.
func (f *Fleet) Quorum() int { return quorum.Size(len(f.clients)) }

// Open returns how many node calls are under way or wait for their turn.
func (f *Fleet) Open() int { return f.lanes.Open() }

// Idle returns a channel that is closed once no node call is open.
func (f *Fleet) Idle() <-chan struct{} { return f.lanes.Idle() }

// Begin counts work other than node calls as open until End.
func (f *Fleet) Begin() { f.lanes.Begin() }

// End ends what Begin began.
func (f *Fleet) End() { f.lanes.End() }

// A call is one command for a number of nodes. Its arguments are built once and
// shared by all of them; clients only read them.
type call struct {
	op     Op
	script *script.Script
	args   []any
	value  string
	// once keeps go-redis from sending the command again by itself. A release
	// whose reply was lost would find the value gone, and nobody could tell
	// that from a lock that somebody took away.
	once bool
	// until is when the command has lost its purpose; zero means never.
	until time.Time
}

// A vote is what one node made of a command.
type vote struct {
	kind kind
	mark string        // of a refusal: names the holder's value
	left time.Duration // of a refusal: how long the holder's key lasts; negative if it has no expiry
	err  error         // of a failure
	late bool          // of a release: an earlier copy of it may have been applied
	slow bool          // it came after the node timeout
}

type kind uint8

const (
	none     kind = iota
	failed        // no answer, or an error
	granted       // acquire: the value is there
	refused       // acquire: another value is there
	extended      // extend: the value was there and lasts as long as asked
	gone          // extend: nothing is there
	taken         // extend: another value is there
	removed       // release: the value was there
	notOurs       // release: it was not
	skipped       // dropped before it was sent, or nothing to do
)

// send starts a goroutine for each node that has a place and returns. Each
// waits for its turn, calls the node and files the vote. Nodes without a place
// vote at once, except those that were not asked. Nobody waits for the group:
// the lane table counts the goroutines through their places, until all that is
// left to do is to file the vote.
func (g *Grant) send(ctx context.Context, c *call, places []lane.Place, file func(node int, v vote)) {
	f, values := g.fleet, context.WithoutCancel(ctx)
	for i := range places {
		p := &places[i]
		if !p.Taken() {
			if v := g.absent(values, c.op, i, p); v.kind != none {
				file(i, v)
			}
			continue
		}
		g.calls.Go(func() error {
			v := vote{kind: failed, err: errNoReturn}
			defer func() { file(i, v) }() // if the client or the handler calls runtime.Goexit, too
			if p.Wait() {
				f.visit(values, c, i, p, &v)
			} else {
				v = vote{kind: skipped}
			}
			return v.err
		})
	}
}

// absent returns the vote of a node that was given no place.
func (g *Grant) absent(ctx context.Context, op Op, node int, p *lane.Place) vote {
	switch p.Reason() {
	case lane.Behind:
		return vote{kind: failed, err: errBehind} // not reported: the earlier command will be
	case lane.Full:
		err := g.fleet.silence(node, p.SilentFor())
		err.full = true
		g.background(func() { g.fleet.hooks.Failed(ctx, Failure{node, op, err}) })
		return vote{kind: failed, err: err}
	case lane.Unneeded:
		return vote{kind: skipped}
	default: // lane.Unwanted
		return vote{}
	}
}

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

// visit calls a node, whose turn it is, and gives the place up.
func (f *Fleet) visit(ctx context.Context, c *call, node int, p *lane.Place, v *vote) {
	answered := false
	defer func() { p.Done(answered) }() // after the report: who waits for the lanes waits for that too
	if !c.until.IsZero() && !time.Now().Before(c.until) {
		*v = vote{kind: skipped}
		return
	}
	sent := time.Now()
	reply, err := f.call(ctx, c, node)
	again := err != nil && c.once
	if again {
		// The one repeat of a command that go-redis does not repeat.
		reply, err = f.call(ctx, c, node)
	}
	answered = f.note(node, c, err)
	slow := time.Since(sent) > p.Timeout()
	if answered && slow {
		f.hooks.Late(ctx, node)
	}
	in := vote{late: again, slow: slow}
	if err == nil {
		err = in.read(c.op, reply)
	}
	if err != nil {
		in = vote{kind: failed, err: c.redact(err), slow: slow}
		*v = in
		f.hooks.Failed(ctx, Failure{node, c.op, in.err})
		return
	}
	*v = in
}

// note takes note of how a call ended. It reports whether the node answered.
func (f *Fleet) note(node int, c *call, err error) bool {
	switch {
	case err == nil || isReply(err):
		if f.errs[node].Load() != nil {
			f.errs[node].Store(nil)
		}
		return true
	default:
		text := c.redact(err).Error()
		f.errs[node].Store(&text)
		return false
	}
}

// silence returns the error of a node that has not answered for d.
func (f *Fleet) silence(node int, d time.Duration) *silentError {
	return &silentError{silent: d, last: f.errs[node].Load()}
}

// redact returns err without the lock's value in its text: Redis quotes the
// arguments of a command it does not know, cut where they get long.
func (c *call) redact(err error) error {
	text, changed := err.Error(), false
	for {
		begin := strings.Index(text, c.value[:min(len(c.value), 8)])
		if begin < 0 {
			break
		}
		end := begin
		for end < len(text) && end-begin < len(c.value) && text[end] == c.value[end-begin] {
			end++
		}
		text, changed = text[:begin]+"[value]"+text[end:], true
	}
	switch {
	case !changed:
		return err
	case isReply(err):
		return replyError(text)
	}
	return errors.New(text)
}

// call runs the script on a node, by its name and, where the node does not
// know it, by its source.
func (f *Fleet) call(ctx context.Context, c *call, node int) (any, error) {
	reply, err := process(ctx, f.clients[node], c.args, c.once)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		return process(ctx, f.clients[node], c.script.Eval(c.args), c.once)
	}
	return reply, err
}

// process runs one command. Its result is what the command says and what
// Process says together: an AutoPipeliner of the deferred kind returns from
// Process before anything is sent, and reading the command waits for it.
func process(ctx context.Context, client Client, args []any, once bool) (any, error) {
	cmd := redis.NewCmd(ctx, args...)
	var cmder redis.Cmder = cmd
	if once {
		cmder = onceCmd{cmd}
	}
	if err := client.Process(ctx, cmder); err != nil {
		return nil, err
	}
	return cmd.Result()
}

// A onceCmd is a command that go-redis does not send again.
type onceCmd struct{ *redis.Cmd }

func (onceCmd) NoRetry() bool { return true }

// read turns a script's reply into a vote.
func (v *vote) read(op Op, reply any) error {
	switch n, _ := reply.(int64); {
	case op == OpAcquire && n == 1:
		v.kind = granted
	case op == OpAcquire:
		return v.readRefusal(reply)
	case op == OpExtend && n == 1:
		v.kind = extended
	case op == OpExtend && n == -1:
		v.kind = gone
	case op == OpExtend && n == -2:
		v.kind = taken
	case op == OpRelease && n == 1:
		v.kind = removed
	case op == OpRelease && n == -1:
		v.kind = notOurs
	default:
		return unexpected(reply)
	}
	return nil
}

func (v *vote) readRefusal(reply any) error {
	fields, _ := reply.([]any)
	if len(fields) != 2 {
		return unexpected(reply)
	}
	left, ok := fields[0].(int64)
	mark, isString := fields[1].(string)
	if !ok || !isString {
		return unexpected(reply)
	}
	v.kind, v.mark, v.left = refused, mark, time.Duration(left)*time.Millisecond
	return nil
}

func unexpected(reply any) error {
	if reply == nil {
		return errors.New("no reply was set: is the client a pipeline, or a stub?")
	}
	return fmt.Errorf("unexpected reply of type %T", reply)
}
