package node

import (
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/script"
)

// A server may refuse PUBLISH to scripts, as some do whose slots are apart. Then a release
// names who is next, and the client tells that Locker. Nobody waits for it, but for the lane
// table.

const (
	// maxTelling bounds the messages to others that are under way on a node, as each may hang
	// for as long as the client waits. Who is not told asks by itself, later.
	maxTelling = 16
	// maxTold is how many are told one after the other until one hears it, as the script does.
	maxTold = 16
)

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
				v.beginTelling(to)
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

func (v *Call) beginTelling(to next) {
	n := v.Node
	if n.line.telling.Add(1) > maxTelling {
		n.line.telling.Add(-1)
		return
	}
	n.lanes.Go(func() {
		defer n.line.telling.Add(-1)
		v.tellFirst(to)
	})
}

// tellFirst tells a Locker that it is next. If nobody hears it, its process has died: then it
// is taken out of the line, and the one behind it is told.
func (v *Call) tellFirst(to next) {
	for range maxTold {
		cmd := redis.NewCmd(v.Ctx, "publish", script.Channel(to.id), to.keys[0])
		a := client.Process(v.Ctx, v.Node.Client, cmd, client.SendOnce(cmd))
		if client.Unknown(a.Err) { // its peers may not publish either, most likely
			v.Node.Unhear(true)
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
