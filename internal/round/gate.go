package round

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/script"
)

// NoGate is the gate of a resource that has no line.
const NoGate = -1

// muted is how long a node is not used as a gate after it has refused to be
// one: its user may not use the keys or the channel of lines.
const muted = time.Minute

// A lines is what a Fleet has to do with the lines of waiting Lockers that are
// kept on the nodes. Everything about them is a hint: exclusion rests on the
// majority alone.
type lines struct {
	self  any // names this Locker
	gates []gateNode

	mu      sync.Mutex
	leaving map[leaving]*Grant // the latest that takes this Locker out of a line
}

// A gateNode is a node as a gate.
type gateNode struct {
	seed   uint64       // the hash of its name
	deaf   bool         // its client cannot listen: it is no gate
	single bool         // one server, that can tell who is still there
	silent atomic.Int64 // the time in ns until which it is no gate
	trip   atomic.Int64 // how long it takes to answer, in ns; 0 if that is not known
	slow   atomic.Bool  // it is not waited for
}

// EnableLines makes the fleet use lines, as the Locker that is called self. names
// has what every process calls each node.
func (f *Fleet) EnableLines(self string, names []string) {
	f.lines = &lines{self: self, gates: make([]gateNode, len(names)), leaving: make(map[leaving]*Grant)}
	for i, name := range names {
		n := &f.lines.gates[i]
		n.seed = fnv(fnv(offset, name), "\x00")
		switch f.clients[i].(type) {
		case *redis.Client:
			n.single = true // a node of a Cluster knows only its own clients
		case *redis.Ring:
			n.deaf = true // a message would go to the shard of the resource, which nobody listens to
		default:
			_, listens := f.clients[i].(subscriber)
			n.deaf = !listens
		}
	}
}

// Gate returns the node that keeps the line of a resource, the same one in every
// process that knows the nodes by the same names, or NoGate.
func (f *Fleet) Gate(resource string) int {
	if f.lines == nil || !script.Tags(resource) {
		return NoGate
	}
	// Rendezvous hashing: the order of the nodes does not matter.
	best, gate := uint64(0), NoGate
	for i := range f.lines.gates {
		if weight := mix(fnv(f.lines.gates[i].seed, resource)); gate == NoGate || weight > best {
			best, gate = weight, i
		}
	}
	n := &f.lines.gates[gate]
	if until := n.silent.Load(); n.deaf || until != 0 && time.Now().UnixNano() < until {
		return NoGate
	}
	return gate
}

// offset is where the hash FNV-1a begins.
const offset = 14695981039346656037

// fnv goes on with the hash FNV-1a.
func fnv(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix is the end of SplitMix64: FNV spreads the last bytes little.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// mute makes a node no gate for a while.
func (f *Fleet) mute(node int) {
	f.lines.gates[node].silent.Store(time.Now().Add(muted).UnixNano())
}

// timed notes how long a node has taken to answer: the shortest time of late, so
// that one that has hung is soon known to be well again.
func (f *Fleet) timed(node int, took time.Duration) {
	if f.lines == nil {
		return
	}
	n := &f.lines.gates[node]
	trip := took
	if old := time.Duration(n.trip.Load()); old != 0 && took > old {
		trip = (7*old + took) / 8
	}
	n.trip.Store(int64(max(trip, 1)))
	if !n.slow.Load() {
		return
	}
	if other := f.otherTrip(node); other == 0 || took <= max(4*other, minPatience) {
		n.slow.Store(false)
	}
}

// lag notes that a node has failed, or has not answered for as long as a gate is
// waited for.
func (f *Fleet) lag(node int) {
	if f.lines != nil {
		f.lines.gates[node].slow.Store(true)
	}
}

// Slow reports whether a gate is not to be waited for: it was slow beside the other
// nodes, or has failed, and has not answered in good time since. Attempts ask it
// together with the others meanwhile, so that it can.
func (f *Fleet) Slow(gate int) bool { return f.lines.gates[gate].slow.Load() }

// otherTrip returns how long a majority of the other nodes takes to answer, as far as
// that is known.
func (f *Fleet) otherTrip(node int) time.Duration {
	var trips []time.Duration
	for i := range f.lines.gates {
		if trip := time.Duration(f.lines.gates[i].trip.Load()); i != node && trip != 0 {
			trips = append(trips, trip)
		}
	}
	if len(trips) == 0 {
		return 0
	}
	slices.Sort(trips)
	return trips[min(f.Quorum(), len(trips))-1]
}

// minPatience is how long a gate is waited for at least before it is done without.
const minPatience = 25 * time.Millisecond

// patience returns how long to wait for a gate alone: one that is slower than the
// others must cost little, and a busy one has its time.
func (f *Fleet) patience(node int, timeout time.Duration) time.Duration {
	trip := f.otherTrip(node)
	if trip == 0 {
		trip = time.Duration(f.lines.gates[node].trip.Load())
	}
	if trip == 0 {
		return timeout / 2
	}
	return min(max(4*trip, minPatience), timeout/2)
}

// Bounds of a reservation, for which a resource is kept for the next one in the
// line: three round trips to the gate.
const (
	minReservation = 30 * time.Millisecond
	maxReservation = time.Second
)

func (f *Fleet) reservation(node int) time.Duration {
	trip := time.Duration(f.lines.gates[node].trip.Load())
	return min(max(minReservation, 3*trip), maxReservation)
}

// A Ticket says how an attempt deals with the line of its resource.
type Ticket struct {
	Gate int // the node that keeps it; NoGate to do without
	// InTurn has the gate asked before the others.
	InTurn bool
	// Called says that the gate has told this Locker that it is the next one: it
	// asks all nodes at once, as nobody else is let through at the gate.
	Called bool
	// Came is when the Locker came first, as a refusal has told it; Now to come
	// now; empty not to wait.
	Came string
	// Yields is for several resources: what the gates have reserved for another Locker is
	// left to it. There is no Gate then.
	Yields bool
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
	Holder   string        // names the holder's value otherwise
	Rank     int           // how many are before it in the line; negative if it is not in it
	Came     string        // for the next Ticket
}

// reservedMark is the mark of a refusal because of a reservation.
const reservedMark = "next"

func (a *Answer) read(v *vote) {
	a.Granted, a.Refused = v.kind == granted, v.kind == refused
	if a.Refused {
		d := v.more
		a.Left, a.Rank, a.Came = d.left, d.rank, d.came
		if a.Reserved = d.mark == reservedMark; !a.Reserved {
			a.Holder = d.mark
		}
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
)

// arg returns what the script calls the mode. calls says that it is to call one
// after the other at the head of the line until one hears it.
func (m Mode) arg(calls bool) any {
	if calls {
		return [...]any{Pop: "pop 16", Keep: "keep", Leave: "leave 16"}[m]
	}
	return [...]any{Pop: "pop", Keep: "keep", Leave: "leave"}[m]
}

// Suffixes of the keys beside a resource.
const (
	lineSuffix        = ":redlock:line"
	reservationSuffix = ":redlock:next"
)

// A gate is what a grant has to do with the node that keeps the line of its
// resource.
type gate struct {
	node      int
	came      string // of the ticket
	mode      Mode   // of the release
	left      bool   // the gate has granted, and taken this Locker out of the line
	first     call   // the acquire
	last      call   // the release
	firstArgs [3 + 3 + 4]any
	lastArgs  [3 + 3 + 4]any
}

// keys returns the resource, its line, its reservation. The arguments they are in are
// there with a fencing token, too, though the acquire has others then.
func (gt *gate) keys() []any { return script.Keys(gt.firstArgs[:]) }

// at returns the command for a node: the gate has some of its own.
func (g *Grant) at(c *call, node int) *call {
	switch {
	case g.many != nil:
		return g.many.at(g, c, node)
	case g.gate == nil || node != g.gate.node:
		return c
	case c == &g.first:
		return &g.gate.first
	case c == &g.last:
		return &g.gate.last
	default:
		return c
	}
}

// enter prepares the acquire at the gate.
func (g *Grant) enter(t Ticket) {
	if g.many != nil && t.Yields {
		g.many.enter(g)
	}
	if t.Gate == NoGate {
		return
	}
	gt := &gate{node: t.Gate, came: t.Came}
	g.gate = gt
	line, reservation := script.Beside(g.train.Resources()[0], lineSuffix, reservationSuffix)
	keys := [...]any{g.keys[0], line, reservation}
	gt.first = call{
		// Asked again and again, it is not repeated by go-redis: then a refusal
		// leaves nothing to release.
		op: OpAcquire, script: script.AcquireGate, plain: &g.first, once: t.InTurn || t.Called,
		args: script.AcquireGate.Append(gt.firstArgs[:0], keys[:], g.boxed, g.ttl, g.fleet.lines.self, t.Came),
	}
	if g.fence != nil {
		g.fence.enter(g)
	}
}

// leave prepares the release at the gate, once.
func (g *Grant) leave(m Mode) {
	if g.many != nil {
		g.many.leave(g)
		return
	}
	gt := g.gate
	if gt == nil || gt.last.args != nil {
		return
	}
	if m == Pop && gt.came != "" && !gt.left {
		m = Leave
	}
	gt.mode = m
	last := any(g.fleet.reservation(gt.node).Milliseconds())
	if m == Keep {
		last = gt.came
	}
	gt.last = call{
		op: OpRelease, script: script.ReleaseGate, once: true, plain: &g.last,
		args: script.ReleaseGate.Append(gt.lastArgs[:0], gt.keys(), g.boxed, g.fleet.lines.self, m.arg(g.fleet.lines.gates[gt.node].single), last),
	}
}

// Depart returns the node in whose line the Locker may still stand for what it has been
// granted. It is to be taken out by [Fleet.LeaveLine] now: a release that comes later
// leaves the line alone, as the Locker may have another place in it by then.
func (g *Grant) Depart() (node int, stands bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gt := g.gate
	if gt == nil || gt.came == "" || gt.left || gt.last.args != nil {
		return NoGate, false
	}
	gt.left = true
	return gt.node, true
}

// parted passes on what the gate has said to the release.
func (g *Grant) parted(node int, v vote) {
	if v.kind != removed && v.kind != notOurs {
		return
	}
	if g.many != nil && g.many.last != nil {
		var told []any
		if v.more != nil {
			told = v.more.told
		}
		g.many.parted(g.fleet, node, told)
	}
	if gt := g.gate; gt != nil && node == gt.node && gt.mode != Keep {
		g.fleet.hooks.Next(g.train.Resources()[0], v.next)
	}
}
