package linearize

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// A builder makes operations of a history of one resource.
//
// A grant is between its call and its return, but not after the Until that was told: so the
// end of each lease, which is an operation from Until on, comes after the grant. What nobody
// knows the outcome of stays open: it is between its call and the end of the history, and
// changes nothing if it comes last. Where another one was granted the resource meanwhile,
// after a call that began later, it has no effect after that any more, and is closed there:
// that takes no order away, and saves Porcupine from looking at very many.
type builder struct {
	history *History
	ops     []porcupine.Operation
	ids     map[string]int
	marks   map[string]*Section
	broken  map[string]int64 // when a Break of the section was first called
	grants  []interval       // in the order of their calls
	end     int64
}

type interval struct{ call, ret int64 }

// operations returns those of a history of one resource.
func operations(h *History) []porcupine.Operation {
	b := &builder{
		history: h, end: h.end(),
		ids: make(map[string]int), marks: make(map[string]*Section), broken: make(map[string]int64),
	}
	for i, s := range h.Sections {
		b.ids[s.Asked.ID] = i + 1
		if s.granted() {
			b.marks[s.Ended.Mark] = s
			b.grants = append(b.grants, interval{s.Asked.T, min(s.Ended.T, s.Ended.Until)})
		}
	}
	slices.SortFunc(b.grants, func(a, b interval) int { return cmp.Compare(a.call, b.call) })
	for i := len(b.grants) - 2; i >= 0; i-- { // the first one that returns of those that began there or later
		b.grants[i].ret = min(b.grants[i].ret, b.grants[i+1].ret)
	}
	for _, c := range h.Calls {
		if s := b.marks[c.Asked.Mark]; s != nil && c.Asked.What == Break {
			if at, known := b.broken[s.Asked.ID]; !known || c.Asked.T < at {
				b.broken[s.Asked.ID] = c.Asked.T
			}
		}
	}
	for _, s := range h.Sections {
		b.section(s)
	}
	for _, c := range h.Calls {
		if c.Asked.What == Break {
			b.breaks(c)
		} else {
			b.inspects(c)
		}
	}
	return b.ops
}

// add adds an operation, which is a client of its own for pictures.
func (b *builder) add(client int, call, ret int64, in *input) {
	b.ops = append(b.ops, porcupine.Operation{ClientId: client, Input: in, Call: call, Return: ret})
}

// open returns until when an operation can have an effect that begins then and has no end.
func (b *builder) open(call int64) int64 {
	i, _ := slices.BinarySearchFunc(b.grants, call+1, func(g interval, t int64) int { return cmp.Compare(g.call, t) })
	if i < len(b.grants) {
		return b.grants[i].ret
	}
	return b.end
}

// A lockBuilder makes operations of one section, event by event.
type lockBuilder struct {
	*builder

	id    int
	name  string
	lease int
	until int64 // of the lease
	ttl   int64 // of it
	seen  int64 // when it was last known to be valid: at that look's beginning
	ended bool  // it was told that it is over
}

// section adds what a lock was from its grant on.
func (b *builder) section(s *Section) {
	if s.Ended != nil && s.Ended.What == Failed {
		b.named(s.Ended, s.Asked.T)
	}
	if !s.granted() {
		return // nobody relies on it, and it keeps others out for its TTL at most
	}
	e := s.Ended
	k := &lockBuilder{builder: b, id: b.ids[s.Asked.ID], name: s.Asked.ID, lease: 1, until: e.Until, ttl: s.Asked.TTL, seen: e.T}
	k.add(s.Asked.T, min(e.T, e.Until), &input{kind: acquire, lease: 1, token: e.Token})
	for i := 0; i < len(s.Events); i++ {
		asked, told := &s.Events[i], (*Event)(nil)
		if asked.What == Looked {
			k.looked(asked)
			continue
		}
		if i++; i < len(s.Events) {
			told = &s.Events[i]
		}
		if asked.What == Extend {
			k.extended(asked, told)
		} else {
			k.unlocked(asked, told)
			return
		}
	}
	k.expires(k.open(k.until))
}

func (k *lockBuilder) add(call, ret int64, in *input) {
	in.id, in.name = k.id, k.name
	k.builder.add(k.id, call, ret, in)
}

// expires adds the end of the present lease. By closes it has no effect any more.
func (k *lockBuilder) expires(closes int64) {
	if k.until < closes {
		k.add(k.until, closes, &input{kind: expire, lease: k.lease})
	}
}

// renewed adds that another lease was found to follow the present one.
func (k *lockBuilder) renewed(call, told, until int64) {
	ret := min(told, until)
	k.expires(ret)
	k.lease++
	k.until = until
	k.add(call, ret, &input{kind: keep, lease: k.lease})
}

// later reports whether until is that of another lease than the present one. Each is told
// early by up to a millisecond.
func (k *lockBuilder) later(until int64) bool { return until > k.until+int64(2*time.Millisecond) }

func (k *lockBuilder) looked(e *Event) {
	switch {
	case e.Result == Canceled: // the caller's context, above that of the lock
	case e.Result == OK && k.later(e.Until): // it was extended automatically since the look before
		k.renewed(k.seen, e.T, e.Until)
		fallthrough
	case e.Result == OK:
		// The holder of a lock that was broken is not told, by design.
		if at, broken := k.broken[k.name]; !broken || e.T < at {
			k.add(e.From, e.T, &input{kind: touch})
		}
		k.seen = e.From
	case k.ended || e.T >= k.until:
		k.ended = true
	case e.Result == Lost:
		k.add(k.seen, e.T, &input{kind: gone, text: e.Text})
		k.ended = true
	default: // it ran out early, as clocks have jumped
		k.until, k.ended = min(k.until, k.seen), true
	}
}

func (k *lockBuilder) extended(asked, told *Event) {
	switch {
	case told == nil: // the worker was killed
	case told.Result == OK:
		k.renewed(asked.T, told.T, told.Until)
		k.seen, k.ttl = asked.T, asked.TTL
	case told.Result == Lost:
		k.add(asked.T, told.T, &input{kind: gone, text: told.Text})
		k.ended = true
	case told.Result == RanOut && told.T < k.until: // by a shorter lease, which came too late
		k.until, k.ended = min(k.until, asked.T), true
	default:
		k.until = min(k.until, told.Until)
	}
}

func (k *lockBuilder) unlocked(asked, told *Event) {
	call, ret, in := asked.T, k.open(asked.T), &input{kind: leave}
	if told != nil {
		in.text = told.Text
		switch told.Result {
		case OK:
			ret, in.kind = told.T, release
			// The library may have released the lock by itself when it ran out, and tells who
			// asks before the keys would have run out that it was in time.
			if call < k.until+k.drift() {
				call = min(call, k.until)
			}
		case Lost, RanOut:
			ret, in.kind = told.T, gone
		default:
		}
	}
	if in.kind == leave {
		k.expires(k.open(k.until))
	} else {
		k.expires(ret)
	}
	k.add(call, ret, in)
}

// drift returns how much longer keys last than the lease is valid, by the default options, and
// a millisecond by which Until may be told early.
func (k *lockBuilder) drift() int64 { return k.ttl/100 + int64(4*time.Millisecond) }

// breaks adds a Break.
func (b *builder) breaks(c *Call) {
	s := b.marks[c.Asked.Mark]
	if s == nil {
		return // of one that was not granted, as far as anybody knows
	}
	in := &input{kind: remove, id: b.ids[s.Asked.ID], name: s.Asked.ID}
	ret := b.open(max(c.Asked.T, s.Ended.T)) // it may have been seen before it was granted
	if c.Told != nil {
		switch c.Told.Result {
		case OK:
			ret = c.Told.T
		case Other:
			ret, in.kind = c.Told.T, missed
			b.named(c.Told, c.Asked.T)
		default:
		}
	}
	b.add(in.id, c.Asked.T, ret, in)
}

// inspects adds what an Inspect has told of the holder, and of the tokens, as two operations:
// it reads node by node, and may have read the tokens before it read the holder.
func (b *builder) inspects(c *Call) {
	told := c.Told
	if told == nil || told.Result != OK {
		return
	}
	if told.Told > b.history.Nodes/2 {
		b.add(0, c.Asked.T, told.T, &input{kind: counter, token: told.Token})
	}
	// A call may make several attempts under its name. The mark tells if it is the one that was granted.
	switch s := b.marks[told.ByMark]; {
	case told.Verdict == "free":
		b.add(0, c.Asked.T, told.T, &input{kind: free})
	case told.Verdict == "held" && s != nil:
		b.add(0, c.Asked.T, told.T, &input{kind: held, id: b.ids[s.Asked.ID], name: s.Asked.ID})
	case told.Verdict == "held":
		b.named(told, c.Asked.T)
	}
}

// named adds an operation that is impossible if told names as the holder, since call, one
// that cannot have had the resource on any node. A call can meet itself: an attempt of its own
// that was applied late.
func (b *builder) named(told *Event, call int64) {
	if told.By == "" {
		return
	}
	s, why := b.history.known[told.By], ""
	switch {
	case s == nil:
		why = "which nobody is"
	case s.Asked.T > told.T:
		why = "which came later"
	case s.over() < call:
		why = "which was over long before"
	default:
		return
	}
	b.add(0, call, told.T, &input{kind: impossible, text: fmt.Sprintf("names %s, %s", told.By, why)})
}
