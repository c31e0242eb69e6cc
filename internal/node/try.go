package node

import (
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
)

// ask sends the command once, unless it has been and first is what came of that, and
// reads what the node says. It reports whether the node answered, if only with an
// error.
func (v *Call) ask(begun time.Time, first *client.Answer) (in Vote, answered bool, err error) {
	n, c := v.Node, v.Command
	a := v.exchange(first)
	if answered = n.note(c, a.Err); answered {
		trip := begun
		if v.again.After(begun) {
			trip = v.again
		}
		n.timed(time.Since(trip))
	} else {
		n.Lag()
	}
	if err = a.Err; err == nil {
		err = in.read(c, a.Reply)
		n.native.told(in.native)
		v.tell(c, &in)
		in.Next = in.Next || v.awaited
	}
	in.Effect, in.Twice = v.effect(c, in.Kind, err, begun), !v.again.IsZero()
	if err == nil && in.had && v.first() {
		err = errSame
	}
	if err != nil {
		err = c.redact(err)
	}
	return in, answered, err
}

// first reports whether the node was sent the value once, as far as anybody knows, and
// there are others: what it has before that, one of them was given.
func (v *Call) first() bool {
	return len(v.Node.peers) > 1 && !v.wanted.copied.Load() && v.Owner.Until(v.Node.Index).IsZero()
}

// sentOnce reports whether go-redis is kept from sending the command again.
func (v *Call) sentOnce(c *Command) bool { return c.Once || v.Once }

// effect returns what one try of a command has done that was begun at that moment, by
// what the node has said to it, or by the error.
func (v *Call) effect(c *Command, said Kind, err error, begun time.Time) Effect {
	once := v.sentOnce(c) && !v.copied // else an earlier copy may have done more than the last one
	switch {
	case err == nil && (said == Granted || said == Extended || said == Removed):
		return Done
	case v.unsent && c == v.Command, once && (err == nil || client.Unconnected(err) || client.Unrun(err)):
		return Undone
	case c.Op == OpRelease && !begun.Before(v.Owner.Until(v.Node.Index)): // the value was not there any more
		return Undone
	}
	return Maybe
}

// exchange runs the command. Where the user may not use lines, or one script cannot
// use a resource and its line, as while a Cluster moves their slot, the plain one
// does, and there is no line for a while.
func (v *Call) exchange(first *client.Answer) client.Answer {
	if v.Node.native.only {
		return v.withoutScripts(v.Command, first)
	}
	if v.native != "" {
		a := v.direct(first)
		wants := v.wantsScript(a)
		a = v.said(a)
		if !wants {
			return a
		}
		name := v.native
		v.native, first = "", nil
		if v.Command.Op == OpRelease && a.Err == nil {
			v.awaited = true
			return a
		}
		v.again = time.Now()
		v.refused(name, a.Err)
	}
	a := v.script(v.Command, first)
	if v.Command.Plain == nil || a.Err == nil {
		return a
	}
	if refusal := a.Err; linesRefused(refusal) {
		v.wanted.copied.Store(true)
		if a = v.script(v.Command.Plain, nil); a.Err == nil {
			v.doWithoutLine(refusal)
		}
	}
	return a
}

// linesRefused reports whether an error says that a script cannot use a resource and its line.
func linesRefused(err error) bool {
	return err != nil && (movesSlot(err) || redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "CROSSSLOT"))
}

func movesSlot(err error) bool { return redis.HasErrorPrefix(err, "TRYAGAIN") }

// doWithoutLine has the resource do without a line for a while, as that error says.
func (v *Call) doWithoutLine(refusal error) {
	if movesSlot(refusal) {
		v.Node.line.moves.add(v.resource())
	} else {
		v.Node.Mute()
	}
}

// script runs the script of a command. first is what was said to it, nil if it was not sent
// yet.
func (v *Call) script(c *Command, first *client.Answer) client.Answer {
	if first == nil {
		a := v.process(c, v.args(c, time.Now()))
		first = &a
	}
	v.knows(c, first.Err)
	if isNoScript(first.Err) {
		a := v.process(c, c.Script.Eval(c.Args))
		v.knows(c, a.Err)
		return a
	}
	return *first
}

func isNoScript(err error) bool { return err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") }

func (v *Call) knows(c *Command, err error) {
	if client.Unconnected(err) || client.Disconnected(err) {
		v.Node.native.forget()
	}
	v.Node.cache.knows(c, v.resource(), err, time.Now())
}

// args returns the arguments of the command that runs a script. They are its
// own: a hook of the client may change them in place, as one does that puts a prefix
// before keys.
func (v *Call) args(c *Command, now time.Time) (args []any) {
	switch {
	case !v.Node.cache.of(c, v.resource()).byName(now):
		args = c.Script.Eval(c.Args)
	case v.used.CompareAndSwap(false, true): // tries of what is owed may overlap
		args = append(v.room[:0], c.Args...)
	default:
		args = slices.Clone(c.Args)
	}
	if c == v.Command && v.Node.native.asks(c) {
		args = asking(c, args)
	}
	return args
}

func (v *Call) newCmd(args []any) client.Cmd {
	if args[0] == setNX {
		return client.SetNX{BoolCmd: redis.NewBoolCmd(v.Ctx, args...)}
	}
	return redis.NewCmd(v.Ctx, args...)
}

// process has the client run one command.
func (v *Call) process(c *Command, args []any) client.Answer {
	if v.queue != nil {
		return v.queue.Process(v.command(c, args))
	}
	cmd := v.newCmd(args)
	if c.Once || v.sentOnce(v.Command) {
		return client.Process(v.Ctx, v.Node.Client, cmd, client.SendOnce(cmd))
	}
	if set, ok := cmd.(client.SetNX); ok {
		v.setCmd = wantedSet{set, &v.wanted}
		return client.Process(v.Ctx, v.Node.Client, cmd, &v.setCmd)
	}
	v.cmd = wantedCmd{cmd.(*redis.Cmd), &v.wanted} //nolint:forcetypeassert // there is no third one
	return client.Process(v.Ctx, v.Node.Client, cmd, &v.cmd)
}
