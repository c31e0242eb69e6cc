package node

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/script"
)

// A server may have a command that does what a script does, for less than half of its
// processor time. For an acquire all have SET with NX. A release takes a newer one that
// compares and deletes: the first script that releases tells which one the server has, as
// nobody is to hear of a command that it does not know. Where it has none, the script of a
// node without lines goes first at a gate. What these commands leave to be said, the script
// is asked.
type native struct {
	only    bool                   // there is nothing else: no script is run
	sets    bool                   // the client is one of go-redis, which reads what SET says
	pairs   bool                   // commands go in batches: two of them make one packet
	deletes atomic.Pointer[string] // one of the names below; nil if that is not known
}

// Names of the commands that go first.
const (
	setNX   = "set"
	ifEq    = "ifeq"
	delex   = "delex"
	delifeq = "delifeq"
	noneHas = "none"
	plain   = "plain" // no command, but the script of a release that knows no line
)

// deletes are what a release may tell.
var deletes = [...]string{delex, delifeq, noneHas}

func (s *native) detect(c client.Client) {
	s.sets = client.Own(c)
}

// near is how long a node takes to answer at most where SET goes first. A refusal costs
// another round trip.
const near = 5 * time.Millisecond

// command returns the name of the command that does what c does, or nothing.
func (s *native) command(c *Command, trip time.Duration) string {
	switch {
	case s.only:
		return s.known(c)
	case !c.Native || !s.sets:
		return ""
	case c.Op == OpAcquire && trip <= near:
		return setNX
	case c.Op == OpAcquire:
		return ""
	case c.Plain != nil && !s.pairs:
		return ""
	}
	name := s.deletes.Load()
	switch {
	case name == nil:
		return ""
	case *name != noneHas:
		return *name
	case c.Plain != nil:
		return plain
	}
	return ""
}

// known returns the name of the command that does what c does where there are no scripts, or
// nothing if it is not known yet that the server has what that takes.
func (s *native) known(c *Command) string {
	name := s.deletes.Load()
	switch {
	case name == nil:
		return ""
	case c.Op == OpRelease:
		return *name
	default:
		return setNX
	}
}

// asks reports whether a release is to tell which command the server has.
func (s *native) asks(c *Command) bool {
	return c.Native && c.Op == OpRelease && s.sets && (c.Plain == nil || s.pairs) && s.deletes.Load() == nil
}

// told takes note of what a release has told, if it has.
func (s *native) told(name string) {
	if i := slices.Index(deletes[:], name); i >= 0 {
		s.deletes.Store(&deletes[i])
	}
}

// forget has the next release ask again: the server may be another one.
func (s *native) forget() {
	if s.deletes.Load() != nil {
		s.deletes.Store(nil)
	}
}

// asking changes the arguments of a release so that it tells.
func asking(c *Command, args []any) []any {
	if c.Plain == nil {
		return append(args, "try")
	}
	const modeArg = 2
	if mode, ok := args[3+len(script.Keys(args))+modeArg].(string); ok {
		args[3+len(script.Keys(args))+modeArg] = "poptry" + strings.TrimPrefix(mode, "pop")
	}
	return args
}

// nativeArgs returns the arguments of the command that goes first.
func (v *Call) nativeArgs() []any {
	if v.native == plain {
		return v.args(v.Command.Plain, time.Now())
	}
	v.used.Store(true)
	args, room, value := v.Command.Args, v.room[:0], script.First(v.Command.Args)
	switch key := script.Key(args); {
	case v.native == setNX && v.Command.Op == OpExtend:
		return append(room, setNX, key, value, ifEq, value, "px", script.Second(args))
	case v.native == setNX:
		return append(room, setNX, key, value, "nx", "px", script.Second(args))
	default:
		return deletion(room, v.native, key, value)
	}
}

// deletion appends the arguments of the command of that name which compares and deletes.
func deletion(room []any, name string, key, value any) []any {
	if name == delex {
		return append(room, delex, key, "ifeq", value)
	}
	return append(room, delifeq, key, value)
}

// and returns what follows a native release at a gate in the same batch: whether somebody
// waits, or has the resource kept. (By itself it would take a connection of go-redis' second
// pool, that of pipelines.) It comes behind the release, as who joins the line
// later finds the resource free. That both are not one step costs a hint at most: the next
// one in line asks by itself, later.
func (v *Call) and() client.Cmd {
	if v.native == "" || v.Command.Op != OpRelease || v.Command.Plain == nil {
		return nil
	}
	keys := script.Keys(v.Command.Args)
	return redis.NewCmd(v.Ctx, "exists", keys[1], keys[2])
}

// direct runs the command that goes first. first is what was said to it, nil if it was not
// sent yet.
func (v *Call) direct(first *client.Answer) client.Answer {
	if first == nil {
		a := v.process(v.Command, v.nativeArgs())
		first = &a
	}
	if v.native == plain {
		v.knows(v.Command.Plain, first.Err)
	}
	return *first
}

// said returns what a call was answered as the script would have said it.
func (v *Call) said(a client.Answer) client.Answer {
	if v.native != "" && v.Command.Op == OpRelease && a.Err == nil && a.Reply == int64(0) {
		a.Reply = int64(-1)
	}
	return a
}

// wantsScript reports whether the script has to be asked behind the command that went first.
// An acquire that is refused asks who has the resource, and whether an earlier copy was
// granted. A release that somebody waits for lets the next one go.
func (v *Call) wantsScript(a client.Answer) bool {
	switch {
	case v.native == "":
		return false
	case v.Node.native.only && v.Command.Op != OpRelease:
		return a.Err != nil || a.Reply != client.IsSet
	case a.Err != nil && v.Command.Op == OpAcquire:
		return client.IsReply(a.Err)
	case a.Err != nil:
		return client.IsReply(a.Err) && (!client.Unrun(a.Err) || isNoScript(a.Err)) // else the script would have met it, too
	case v.Command.Op == OpAcquire:
		return a.Reply != client.IsSet
	}
	waits, told := a.And.(int64)
	return v.Command.Plain != nil && (!told || waits != 0)
}

// refused takes note of an error that the command of that name which went first was answered
// with. That of a script says nothing of the server's commands, which may be others by now.
func (v *Call) refused(name string, err error) {
	if err != nil {
		v.copied = !client.Unrun(err) && !client.Unknown(err)
		if v.Command.Op == OpRelease && name != plain {
			v.Node.native.told(noneHas)
		}
	}
}

// callNext has the script let the next one go, behind a release that has been carried out.
func (v *Call) callNext() {
	a := v.script(v.Command, nil)
	if linesRefused(a.Err) {
		v.doWithoutLine(a.Err)
	}
	var in Vote
	if a.Err == nil && in.read(v.Command, a.Reply) == nil {
		v.tell(v.Command, &in)
	}
}
