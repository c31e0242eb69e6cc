package round

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/b0401464/redlock/internal/command"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/notify"
	"github.com/b0401464/redlock/internal/script"
)

// NoGate is the gate of a resource that has no line.
const NoGate = notify.NoGate

// A lines is what the Nodes have to do with the lines of waiting Lockers that are
// kept on the nodes. Everything about them is a hint: exclusion rests on the
// majority alone.
type lines struct {
	self  any // names this Locker
	looks any // and where nobody can tell it that it is next, so that it looks
	gates notify.Gates

	mu      sync.Mutex
	leaving map[leaving]*Grant // the latest that takes this Locker out of a line
}

// EnableLines makes the nodes use lines, as the Locker that is called self. names
// has what every process calls each node.
func (f *Nodes) EnableLines(self string, names []string) {
	f.lines = &lines{self: self, looks: script.Looks + self, gates: notify.NewGates(f.each, names), leaving: make(map[leaving]*Grant)}
}

// NewListeners returns what listens for the Locker. wake is told of each message: on which node
// it came and for which resource.
func (f *Nodes) NewListeners(wake func(node int, resource string)) *notify.Listeners {
	return notify.New(f.each, f.lines.self, wake)
}

// Gate returns the node that keeps the line of a resource, the same one in every
// process that knows the nodes by the same names, or NoGate.
func (f *Nodes) Gate(resource string) int {
	if f.lines == nil {
		return NoGate
	}
	return f.lines.gates.Of(resource)
}

// A Plan says how an attempt deals with the line of its resource.
type Plan struct {
	Gate int // the node that keeps it; NoGate to do without
	// InTurn has the gate asked before the others.
	InTurn bool
	// Called says that the gate has told this Locker that it is the next one: it
	// asks all nodes at once, as nobody else is let through at the gate.
	Called bool
	// Came is when the Locker came first, as a refusal has told it; Now to come
	// now; empty not to wait.
	Came string
	// Stale is the mark of what has been at the gate for so long, while others had the
	// resource, that it is left over: the release calls the next one in spite of it.
	Stale string
	// Holder is who is known to have a majority. As long as it does, nodes that have
	// nothing are left to it.
	Holder Rival
	// Yields is for several resources: what the gates have reserved for another Locker is
	// left to it. There is no Gate then.
	Yields bool
	// Contended says that others have wanted the resource a moment ago.
	Contended bool
	// Again says that another attempt follows: a tie is not waited out for nodes that take
	// much longer than usual. Hasty is how many in a row have ended so before it: each waits
	// for twice as long, as these nodes may be what is missing.
	Again bool
	Hasty int
}

// free reports whether most likely nobody has the resource, and nobody waits for it. At a
// gate that is a hint, too: while it keeps the resource for somebody, a value is in its place.
func (t *Plan) free() bool {
	return !t.Contended && t.Came == "" && !t.Called && !t.Yields && t.Holder.Mark == ""
}

// Now is the Came of a Locker that begins to wait.
const Now = "now"

// An Answer is what a gate says in an attempt.
type Answer struct {
	Granted bool
	Refused bool

	// Of a refusal.
	Left     time.Duration // how long the holder or the reservation lasts; negative if for ever
	Reserved bool          // nobody holds the resource, and another Locker is to have it
	Empty    bool          // nothing is there, and it was left to a holder elsewhere
	Holder   string        // names the holder's value otherwise
	Rank     int           // how many are before it in the line; negative if it is not in it

	Came string // for the next Plan, if the gate has told
}

// emptyMark is in place of a mark where nothing is there and the gate was only looked at.
const emptyMark = "none"

func (a *Answer) read(v *node.Vote) {
	*a = Answer{Granted: v.Kind == node.Granted, Refused: v.Kind == node.Refused, Came: a.Came}
	if !a.Refused {
		return
	}
	d := v.More
	a.Left, a.Rank, a.Came = d.Left, d.Rank, d.Came
	switch d.Mark {
	case node.ReservedMark:
		a.Reserved = true
	case emptyMark:
		a.Empty = true
	default:
		a.Holder = d.Mark
	}
}

// A Mode says what a release does with the line.
type Mode uint8

// Modes of a release.
const (
	// Pop lets the next one in the line go.
	Pop Mode = iota
	// Keep does not: the attempt is undone, and its Locker back in the line.
	Keep
	// Leave takes this Locker out of the line and lets the next one go.
	Leave
	// Undo lets the next one go if there is something to remove.
	Undo
)

// modes are what the script calls them, converted once, and so with how many to call.
var modes, calling [Undo + 1]any

func init() {
	for m, name := range [...]string{Pop: "pop", Keep: "keep", Leave: "leave", Undo: "undo"} {
		modes[m], calling[m] = name, name
		if Mode(m) != Keep {
			calling[m] = fmt.Sprint(name, " ", command.MaxCalls)
		}
	}
}

// arg returns what the script calls the mode. calls says that it is to call one
// after the other at the head of the line until one hears it.
func (m Mode) arg(calls bool) any {
	if calls {
		return calling[m]
	}
	return modes[m]
}

// A gate is what a grant has to do with the node that keeps the line of its
// resource.
type gate struct {
	node     int
	came     string // of the plan
	mode     Mode   // of the release
	left     bool   // the gate has granted, and taken this Locker out of the line
	quiet    bool   // most likely nobody waits
	looks    bool   // the acquire leaves alone what is empty
	stale    string // of the plan
	told     string // when this Locker came, as the gate has said; under Grant.mu
	commands command.Gate
}

// enter prepares the acquire at the gate.
func (g *Grant) enter(t Plan) {
	if g.commands.Several() && t.Yields && g.nodes.lines != nil {
		g.yields = true
		g.commands.Keeps(g.nodes.Size(), g.nodes.Gate)
		g.commands.EnterAll(g.nodes.lines.self)
	}
	if t.Gate == NoGate {
		return
	}
	gt := &gate{node: t.Gate, came: t.Came, stale: t.Stale, quiet: t.free(), looks: t.Holder.Mark != ""}
	g.gate = gt
	came, self := t.Came, g.nodes.lines.self
	if g.nodes.Looks(t.Gate) {
		self = g.nodes.lines.looks
	}
	if _, far := g.nodes.Renewal(t.Gate); far && came != "" && came != Now {
		came = fmt.Sprint(came, " ", node.MaxReservation.Milliseconds())
	}
	if gt.looks {
		came = "look " + came
	}
	// Who asks again and again has nothing to release where it is refused.
	g.commands.Enter(&gt.commands, g.series.Resources()[0], command.Entry{
		Node: t.Gate, Self: self, Came: came, Once: t.InTurn || t.Called, Looks: gt.looks, Only: g.nodes.Size() == 1,
	})
}

// takeEmpty has the gate asked from here on to grant the resource where nothing is. It
// may have told when this Locker came, so that its place is kept.
func (g *Grant) takeEmpty(came string) {
	if gt := g.gate; gt != nil {
		if gt.came == Now {
			gt.came = cmp.Or(came, Now)
		}
		g.commands.TakeEmpty(gt.came)
	}
}

// leave prepares the release at the gate, or the gates, once.
func (g *Grant) leave(m Mode) {
	f, gt := g.nodes, g.gate
	if g.commands.Several() {
		if f.lines != nil && !g.commands.LeavesAll() {
			g.commands.Keeps(f.Size(), f.Gate)
			g.commands.LeaveAll(f.each)
		}
		return
	}
	if gt == nil || gt.commands.Leaves() {
		return
	}
	if m == Pop && gt.came != "" && !gt.left {
		m = Leave
	}
	gt.mode = m
	single := f.each[gt.node].Single()
	mode, last := m.arg(single), any(f.each[gt.node].Reservation().Milliseconds())
	switch {
	case m == Keep:
		last = gt.came
	case gt.looks && m == Pop && !g.won:
		mode = Undo.arg(single) // most likely it has left nothing
	case g.won && gt.stale != "" && g.stray() == gt.stale:
		mode = fmt.Sprint(mode, " =", gt.stale)
	}
	g.commands.Leave(mode, last, gt.quiet && m == Pop && mode == m.arg(single))
}

// Came returns when this Locker came to the gate's line, as far as the gate has said by
// now: its answer may have come after the attempt. A nil Grant knows of none.
func (g *Grant) Came() string {
	if g == nil || g.gate == nil {
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.gate.told
}

// Depart returns the node in whose line the Locker may still stand for what it has been
// granted. It is to be taken out by [Nodes.LeaveLine] now: a release that comes later
// leaves the line alone, as the Locker may have another place in it by then.
func (g *Grant) Depart() (node int, stands bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gt := g.gate
	if gt == nil || gt.came == "" || gt.left || gt.commands.Leaves() {
		return NoGate, false
	}
	gt.left = true
	return gt.node, true
}

// parted passes on what the gate has said to the release.
func (g *Grant) parted(i int, v node.Vote) {
	if v.Kind != node.Removed && v.Kind != node.NotOurs {
		return
	}
	if g.commands.Several() && g.commands.LeavesAll() {
		var told []any
		if v.More != nil {
			told = v.More.Told
		}
		for n, resource := range g.commands.Kept(i) {
			g.nodes.hooks.Next(resource, slices.Contains(told, any(int64(n+1))))
		}
	}
	if gt := g.gate; gt != nil && i == gt.node && gt.mode != Keep {
		g.nodes.hooks.Next(g.series.Resources()[0], v.Next)
	}
}
