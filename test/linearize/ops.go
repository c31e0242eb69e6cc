package linearize

import (
	"cmp"
	"fmt"
	"slices"

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
	broken  map[string]int64 // when a Break of the section was first called that may have removed it
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
		if s := b.marks[c.Asked.Mark]; s != nil && c.Asked.What == Break && (c.Told == nil || c.Told.Result != Other) {
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
	if told == nil || told.Result != OK && told.Result != Canceled {
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
	b.add(0, call, told.T, &input{kind: impossible, part: ofOwners, text: fmt.Sprintf("names %s, %s", told.By, why)})
}
