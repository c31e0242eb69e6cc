package node

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/script"
)

// A server may refuse PUBLISH to scripts, as some do whose slots are apart. Then a release
// names who is next, and the client tells that Locker. Nobody waits for it, but for the lane
// table.

const (
	// maxNotices bounds the messages to others that are under way on a node, as each may hang
	// for as long as the client waits.
	maxNotices = 16
	// maxQueued bounds those that wait for that: a release of several resources may name many.
	// Who is not told asks by itself, later.
	maxQueued = 1024
	// maxTold is how many are told one after the other until one hears it, as the script does.
	maxTold = 16
)

// payloadArg is which argument of PUBLISH is the resource: the server that has it has just
// answered, and its Cluster passes the message on.
const payloadArg = 2

// notices are the messages to others of a node.
type notices struct {
	mu       sync.Mutex
	underWay int
	waiting  []notice
}

// A notice is a message to one that was named then.
type notice struct {
	call *Call
	to   next
	then time.Time
}

// tell tells the Lockers that a release has let go next, and that the server has not told.
func (v *Call) tell(c *Command, in *Vote) {
	if !in.Next {
		return
	}
	keys, n := script.Keys(c.Args), 1
	for _, said := range in.More.Told {
		switch said := said.(type) {
		case int64: // of a release of several resources
			n = int(said)
		case string:
			if to, ok := nextOf(c, keys, n); ok {
				to.id = said
				v.Node.beginNotice(notice{v, to, time.Now()})
			}
		}
	}
}

// A next is a Locker that is to have a resource next.
type next struct {
	id    any
	keys  [3]any // the resource, its line, its reservation
	value any    // that was released
	mode  string // of a release that takes it out of the line
	lasts any    // for how long a reservation does, in ms
}

// nextOf returns what the release at a gate knows of its resource n, counted from 1.
func nextOf(c *Command, keys []any, n int) (next, bool) {
	args := c.Args[3+len(keys):]
	if c.Script != script.ReleaseGates {
		mode, _ := args[2].(string)
		_, stale, isStale := strings.Cut(mode, " =")
		mode = fmt.Sprint("leave ", maxTold)
		if isStale {
			mode += " =" + stale
		}
		return next{keys: [3]any(keys), value: args[0], mode: mode, lasts: args[3]}, n == 1
	}
	lines, _ := args[1].(int)
	if n < 1 || n > lines {
		return next{}, false
	}
	line := keys[len(keys)-2*lines:][2*n-2:]
	return next{keys: [3]any{keys[n-1], line[0], line[1]}, value: args[0], mode: fmt.Sprint("leave ", maxTold), lasts: args[3]}, true
}

func (n *Node) beginNotice(t notice) {
	all := &n.line.notices
	all.mu.Lock()
	defer all.mu.Unlock()
	switch {
	case all.underWay < maxNotices:
		all.underWay++
		n.goNotice(t)
	case len(all.waiting) < maxQueued:
		all.waiting = append(all.waiting, t)
	}
}

func (n *Node) goNotice(t notice) {
	n.lanes.Go(func() {
		defer n.endNotice() // if the client calls runtime.Goexit, too
		t.call.tellFirst(t.to)
	})
}

// endNotice begins the next message that waits, unless whom it is to has asked by itself
// meanwhile.
func (n *Node) endNotice() {
	all := &n.line.notices
	all.mu.Lock()
	defer all.mu.Unlock()
	for len(all.waiting) > 0 {
		t := all.waiting[0]
		all.waiting = all.waiting[1:]
		if time.Since(t.then) < MaxReservation {
			n.goNotice(t)
			return
		}
	}
	all.waiting = nil
	all.underWay--
}

// tellFirst tells a Locker that it is next. If nobody hears it, its process has died: then it
// is taken out of the line, and the one behind it is told.
func (v *Call) tellFirst(to next) {
	for range maxTold {
		cmd := redis.NewCmd(v.Ctx, "publish", script.Channel(to.id), to.keys[0])
		cmd.SetFirstKeyPos(payloadArg) // a Cluster's client sends it anywhere else, to who is frozen too
		a := client.Process(v.Ctx, v.Node.Client, cmd, client.SendOnce(cmd))
		if refuses := client.Unknown(a.Err); refuses || a.Err == nil {
			v.Node.RefuseMessages(refuses)
		}
		if a.Err != nil || a.Reply != int64(0) || !v.Node.Single() {
			return
		}
		leave := &Command{
			Op: OpRelease, Script: script.ReleaseGate, Once: true,
			Args: script.ReleaseGate.Args(to.keys[:], to.value, to.id, to.mode, to.lasts),
		}
		by := &Call{Ctx: v.Ctx, Command: leave, Node: v.Node, Place: v.Place}
		all, _ := by.script(leave, nil).Reply.([]any)
		if len(all) < 3 {
			return
		}
		to.id = all[2]
	}
}
