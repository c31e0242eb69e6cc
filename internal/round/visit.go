package round

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/lane"
)

// A visit is a command's call of one node, from its place in the lanes to its vote.
type visit struct {
	grant *Grant
	ctx   context.Context //nolint:containedctx // has the values of the caller's, and is never done
	call  *call           // as it is for the node
	node  int
	place *lane.Place
	to    ballot
	sent  time.Time
	pipe  *pipe // what commands go through; nil if each goes by itself
}

// send has each node called that has a place, when its turn comes, and returns. What
// the node says is filed as its vote. Nodes without a place vote at once, except
// those that were not asked. Nobody waits for the goroutines of the calls: the lane
// table counts them through their places, until all that is left to do is to file
// the vote.
func (g *Grant) send(ctx context.Context, c *call, places []lane.Place, to ballot) {
	values, now, visits := context.WithoutCancel(ctx), time.Now(), make([]visit, len(places))
	for i := range places {
		p := &places[i]
		if p.Taken() {
			visits[i] = visit{grant: g, ctx: values, call: g.at(c, i), node: i, place: p, to: to, sent: now}
			p.Then(&visits[i])
		} else if v := g.absent(values, c.op, i, p); v.kind != none {
			to.file(values, i, v)
		}
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

// Due is told that the command is to be sent, or that the place has been dropped.
func (v *visit) Due(send bool) {
	if !send {
		v.to.file(v.ctx, v.node, vote{kind: skipped})
		return
	}
	if v.place.Queued() {
		v.sent = time.Now()
	}
	if v.overdue(v.sent) {
		v.place.Done(false)
		v.to.file(v.ctx, v.node, vote{kind: skipped})
		return
	}
	if v.pipe = v.grant.fleet.ways[v.node].pipe(v.resource()); v.pipe == nil {
		v.grant.calls.Go(func() error {
			growStack()
			return v.run(nil)
		})
		return
	}
	x := v.parcel(v.call, v.call.args)
	x.to = v
	v.pipe.send(x)
}

// worthRepeating reports whether a command that failed has a purpose yet. Who finds no
// connection has tried five times, by default; a release tries again all the same.
func (v *visit) worthRepeating(err error) bool {
	return !v.overdue(time.Now()) && (v.call.op == OpRelease || !unconnected(err))
}

// overdue reports whether the command has lost its purpose.
func (v *visit) overdue(now time.Time) bool {
	return !v.call.until.IsZero() && !now.Before(v.call.until)
}

func (v *visit) resource() string { return v.grant.train.Resources()[0] }

// parcel returns a command of a call for the pipe.
func (v *visit) parcel(c *call, args []any) parcel {
	return parcel{
		ctx: v.ctx, cmd: redis.NewCmd(v.ctx, args...),
		resource: v.resource(), value: c.value(), patience: v.place.Timeout(),
	}
}

// An answer is what a node, or the client for it, has said to a command.
type answer struct {
	reply any
	err   error
}

// came deals with what a batch has brought at that moment, on the goroutine of all its
// visits: what may call the program, or the node again, has one of its own.
func (v *visit) came(a answer, at time.Time) {
	f, took := v.grant.fleet, at.Sub(v.sent)
	var in vote
	if a.err != nil || took > v.place.Timeout() || in.read(v.call, a.reply) != nil ||
		in.kind == refused && f.debts[v.node].count.Load() > 0 {
		first := a // apart, so that a is not on the heap each time
		v.grant.calls.Go(func() error { return v.run(&first) })
		return
	}
	f.note(v.node, v.call, nil)
	f.timed(v.node, took)
	v.place.DoneAt(at, true)
	v.to.file(v.ctx, v.node, in)
}

// run calls the node, or goes on with what it has said already, and brings the visit
// to its end.
func (v *visit) run(first *answer) error {
	in, answered := vote{kind: failed, err: errNoReturn}, false
	// If the client or the handler calls runtime.Goexit, too. The place is given up
	// after the report: who waits for the lanes waits for that as well.
	defer func() {
		v.place.Done(answered)
		v.to.file(v.ctx, v.node, in)
	}()
	f := v.grant.fleet
	got, answered, err := v.ask(v.sent, first)
	if err != nil && f.sentOnce(v.call, v.node) && v.worthRepeating(err) {
		// The one repeat of a command that go-redis does not repeat. It goes by itself,
		// as what has failed may be the batch it was in; unless a connection is what is
		// missing, which the next batch may have.
		if !unconnected(err) && !disconnected(err) {
			v.pipe = nil
		}
		got, answered, err = v.ask(time.Now(), nil)
		got.late = true
	}
	got, answered, err = v.settleFirst(got, answered, err)
	got.slow = time.Since(v.sent) > v.place.Timeout()
	if answered && got.slow {
		f.hooks.Late(v.ctx, v.node)
	}
	if err != nil {
		got = vote{kind: failed, err: err, slow: got.slow, late: got.late}
	}
	in = got
	if !answered {
		// What go-redis has sent again itself may have been sent before it lost its connection.
		v.unanswered(f.sentOnce(v.call, v.node) && unconnected(err) && !got.late)
	}
	if err != nil {
		f.hooks.Failed(v.ctx, Failure{v.node, v.call.op, err})
	}
	return err
}

// ask sends the command once, unless it has been and first is what came of that, and
// reads what the node says. It reports whether the node answered, if only with an
// error.
func (v *visit) ask(sent time.Time, first *answer) (in vote, answered bool, err error) {
	f, c := v.grant.fleet, v.call
	a := v.exchange(first)
	if answered = f.note(v.node, c, a.err); answered {
		f.timed(v.node, time.Since(sent))
	} else {
		f.lag(v.node)
	}
	if err = a.err; err == nil {
		err = in.read(c, a.reply)
	}
	if err != nil {
		err = c.redact(err)
	}
	return in, answered, err
}

// exchange runs the command. Where the user may not use lines, or one script cannot
// use a resource and its line, as while a Cluster moves their slot, the plain one
// does, and the node is no gate for a while.
func (v *visit) exchange(first *answer) answer {
	a := v.script(v.call, first)
	if v.call.plain == nil || a.err == nil {
		return a
	}
	if redis.HasErrorPrefix(a.err, "NOPERM") || redis.HasErrorPrefix(a.err, "CROSSSLOT") || redis.HasErrorPrefix(a.err, "TRYAGAIN") {
		if a = v.script(v.call.plain, nil); a.err == nil {
			v.grant.fleet.mute(v.node)
		}
	}
	return a
}

// script runs the script of a call, by its name and, where the node does not know it,
// by its source. first is what was said to the former, nil if it was not sent yet.
func (v *visit) script(c *call, first *answer) answer {
	if first == nil {
		a := v.process(c, c.args)
		first = &a
	}
	if first.err != nil && redis.HasErrorPrefix(first.err, "NOSCRIPT") {
		return v.process(c, c.script.Eval(c.args))
	}
	return *first
}

// process runs one command of a call.
func (v *visit) process(c *call, args []any) answer {
	if v.pipe != nil {
		return v.pipe.process(v.parcel(c, args))
	}
	f := v.grant.fleet
	return process(v.ctx, f.clients[v.node], redis.NewCmd(v.ctx, args...), f.sentOnce(v.call, v.node))
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
