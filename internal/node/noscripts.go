package node

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/script"
	"github.com/b0401464/redlock/internal/value"
)

// DisableScripts has the node do without scripts what is asked of it, for one resource
// without a line and without a token. It takes a server that compares in SET and when it
// deletes.
func (n *Node) DisableScripts() { n.native.only = true }

// nobody is a value that no lock has: to delete it shows that a server can.
const nobody = "redlock:try"

// maxGone bounds how often a resource is asked for again whose holder has gone between two
// commands of an acquire.
const maxGone = 3

// do runs a command by the way that the node has.
func (v *Call) do(c *Command) client.Answer {
	if v.Node.native.only {
		return v.withoutScripts(c, nil)
	}
	return v.script(c, nil)
}

// withoutScripts is what a script does, by commands of the server. Each of them is one step,
// and what has to be one step is one command: the others only ask. first is what was said to
// the one that went first, nil if none was sent yet.
func (v *Call) withoutScripts(c *Command, first *client.Answer) client.Answer {
	if first != nil && (client.Unconnected(first.Err) || client.Disconnected(first.Err)) {
		v.Node.native.forget()
		return *first
	}
	switch c.Op {
	case OpAcquire:
		return v.set(c, first)
	case OpExtend:
		return v.lengthen(c, first)
	default:
		return v.remove(c, c.value(), first)
	}
}

// set asks for the resource. A server that cannot delete what it has granted grants nothing.
func (v *Call) set(c *Command, first *client.Answer) client.Answer {
	v.unsent = first == nil && v.Node.native.deletes.Load() == nil
	if v.unsent {
		if a := v.remove(c, nobody, nil); a.Err != nil {
			return a
		}
		v.unsent = false
	}
	for range maxGone {
		a := v.say(c, first, setNX, script.Key(c.Args), script.First(c.Args), "nx", "px", script.Second(c.Args))
		if first = nil; a.Err != nil || a.Reply == client.IsSet {
			return a
		}
		a = v.say(c, nil, "get", script.Key(c.Args))
		has, is := a.Reply.(string)
		switch {
		case errors.Is(a.Err, redis.Nil):
			continue
		case a.Err != nil || !is:
			return a
		case has == c.value():
			return client.Answer{Reply: []any{int64(1), oursMark}}
		}
		v.again = time.Now()
		if a = v.say(c, nil, "pttl", script.Key(c.Args)); a.Err != nil {
			return a
		}
		return refusal(has, a.Reply)
	}
	return client.Answer{Reply: []any{int64(0), goneMark}}
}

// goneMark is in place of a mark where the holder changes faster than it can be asked for.
const goneMark = "gone"

// refusal returns what a script says of a value that has so many ms left.
func refusal(has string, pttl any) client.Answer {
	left, ok := pttl.(int64)
	if !ok {
		return client.Answer{Reply: pttl}
	}
	if left == -2 { // gone meanwhile
		left = 0
	}
	if has == value.Kept {
		return client.Answer{Reply: []any{left, ReservedMark}}
	}
	return client.Answer{Reply: []any{left, value.Tell(has)}}
}

// lengthen lets the value last. That all its commands are for the same time, that of the
// lock, keeps a copy of an older one that comes late from shortening it.
func (v *Call) lengthen(c *Command, first *client.Answer) client.Answer {
	key, ours := script.Key(c.Args), script.First(c.Args)
	a := v.say(c, first, setNX, key, ours, ifEq, ours, "px", script.Second(c.Args))
	switch {
	case a.Err != nil && isSyntax(a.Err):
		a.Err = needs(a.Err)
		return a
	case a.Err != nil || a.Reply == client.IsSet:
		return a
	}
	a = v.say(c, nil, "get", key)
	switch has, is := a.Reply.(string); {
	case errors.Is(a.Err, redis.Nil):
		return client.Answer{Reply: int64(-1)}
	case a.Err != nil || !is:
		return a
	case has == value.Kept || has == c.value(): // if it is ours again it was gone a moment ago
		return client.Answer{Reply: int64(-1)}
	default:
		return client.Answer{Reply: int64(-2)}
	}
}

// remove deletes the resource if it has a value. The server is asked for each command that
// does so until one is known.
func (v *Call) remove(c *Command, value string, first *client.Answer) (a client.Answer) {
	names := deletes[:len(deletes)-1]
	if known := v.Node.native.deletes.Load(); first != nil {
		names = []string{v.native}
	} else if known != nil {
		names = []string{*known}
	}
	for _, name := range names {
		a = v.say(c, first, deletion(nil, name, script.Key(c.Args), value)...)
		if first = nil; !client.Unknown(a.Err) {
			if a.Err == nil || !client.Unrun(a.Err) && client.IsReply(a.Err) {
				v.Node.native.told(name)
			}
			if a.Reply == int64(0) {
				a.Reply = int64(-1)
			}
			return a
		}
	}
	v.Node.native.forget()
	a.Err = needs(a.Err)
	return a
}

// say sends one command, unless first is what was said to it.
func (v *Call) say(c *Command, first *client.Answer, args ...any) client.Answer {
	if first != nil {
		return *first
	}
	a := v.process(c, args)
	if client.Unconnected(a.Err) || client.Disconnected(a.Err) {
		v.Node.native.forget()
	}
	return a
}

// isSyntax reports whether an error says that the server does not know an option.
func isSyntax(err error) bool {
	return client.IsReply(err) && strings.Contains(strings.ToLower(err.Error()), "syntax error")
}

// needs returns the error of a server that lacks a command.
func needs(err error) error {
	return fmt.Errorf("without scripts it takes Redis 8.4 or Valkey 9.0, and a user who may run SET, GET, PTTL and DELEX or DELIFEQ: %w", err)
}
