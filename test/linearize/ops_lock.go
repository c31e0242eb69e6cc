package linearize

import (
	"fmt"
	"strings"
	"time"
)

// tick is by how much two moments may differ that are the same one: each Until is told early
// by up to a millisecond.
const tick = int64(2 * time.Millisecond)

// resend is how long after a fault a client may send a command again that was lost.
const resend = int64(600 * time.Millisecond)

// A lockBuilder makes operations of one section, event by event.
type lockBuilder struct {
	*builder

	id     int
	name   string
	auto   bool // it may be extended between two events
	lease  int
	until  int64 // of the lease
	ttl    int64 // of it
	seen   int64 // when it was last known to be valid: at that look's beginning
	ended  bool  // it was told that it is over
	placed int64 // when a call returned last that may have placed or prolonged keys
	most   int64 // the longest TTL of such a call
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
	k := &lockBuilder{
		builder: b, id: b.ids[s.Asked.ID], name: s.Asked.ID, auto: s.Asked.Auto, lease: 1,
		until: e.Until, ttl: s.Asked.TTL, seen: e.T, placed: e.T, most: s.Asked.TTL,
	}
	k.add(s.Asked.T, min(e.T, e.Until), &input{kind: acquire, lease: 1, token: e.Token})
	if e.Token == 0 && strings.HasPrefix(s.Asked.Resource, fencedPrefix) {
		k.never(ofTokens, s.Asked.T, e.T, "has no token")
	}
	for i := 0; i < len(s.Events); i++ {
		asked, told := &s.Events[i], (*Event)(nil)
		if asked.What == Looked {
			k.looked(asked)
			continue
		}
		if i++; i < len(s.Events) {
			told = &s.Events[i]
		}
		k.shown(asked)
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

// never adds what no library that works says.
func (k *lockBuilder) never(part part, call, ret int64, text string) {
	k.add(call, ret, &input{kind: impossible, part: part, text: text})
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

// later reports whether until is that of another lease than the present one.
func (k *lockBuilder) later(until int64) bool { return until > k.until+tick }

// shown deals with the Until that a call has found before it began, or that a look has found
// over: the lock may have been extended automatically since the look before.
func (k *lockBuilder) shown(e *Event) {
	if e.Until == 0 || k.ended {
		return
	}
	if k.later(e.Until) {
		// It may have been asked for before that look, and answered after it: no longer than its
		// TTL before the Until.
		k.renewed(min(k.seen, e.Until-k.most), e.T, e.Until)
		k.placed = max(k.placed, e.Until) // which is later than the answers of the nodes
	}
	k.steady(e)
}

// steady demands that no Until is earlier than one before it, but by an Extend to less.
func (k *lockBuilder) steady(e *Event) {
	if e.Until < k.until-tick {
		k.never(ofAnswers, e.T, e.T, fmt.Sprintf("its Until went back by %v", time.Duration(k.until-e.Until)))
	}
}

func (k *lockBuilder) looked(e *Event) {
	switch {
	case e.Result == Canceled: // the caller's context, above that of the lock
	case e.Result == OK:
		if k.ended {
			k.never(ofAnswers, e.From, e.T, "valid when it was told that it is over")
		}
		k.shown(e)
		if late := e.From - e.Until; late > tick {
			k.never(ofAnswers, e.From, e.T, fmt.Sprintf("valid %v after its Until", time.Duration(late)))
		}
		// The holder of a lock that was broken is not told, by design.
		if at, broken := k.broken[k.name]; !broken || e.T < at {
			k.add(e.From, e.T, &input{kind: touch})
		}
		k.seen = e.From
	case k.ended:
	case e.Result == RanOut:
		k.shown(e)
		k.ranOut(e, k.until)
	case e.Result == Lost:
		k.shown(e)
		k.add(k.seen, e.T, &input{kind: gone, text: e.Text})
		k.ended = true
	default:
		k.never(ofAnswers, e.From, e.T, "ended early, and nobody knows why: "+e.Text)
		k.ended = true
	}
}

// ranOut demands that what ran out did so at its Until. A clock that is set ahead ends locks
// early, and may excuse it: no clock is set in these histories.
func (k *lockBuilder) ranOut(e *Event, until int64) {
	if early := until - e.T; early > tick {
		k.never(ofAnswers, e.T, e.T, fmt.Sprintf("ran out %v before its Until", time.Duration(early)))
	}
	k.ended = true
}

func (k *lockBuilder) extended(asked, told *Event) {
	k.most = max(k.most, asked.TTL)
	if told == nil {
		return // the worker was killed
	}
	k.placed = max(k.placed, told.T)
	shorter := asked.T + asked.TTL - drift(asked.TTL) // no lease that it asked for ends before
	switch told.Result {
	case OK:
		known := asked.Until
		if known == 0 && !k.auto {
			known = k.until
		}
		if known != 0 && asked.T-known > tick {
			k.never(ofAnswers, asked.T, told.T, fmt.Sprintf("extended %v after its Until", time.Duration(asked.T-known)))
		}
		k.renewed(asked.T, told.T, told.Until)
		k.seen, k.ttl = asked.T, asked.TTL
	case Lost:
		k.add(asked.T, told.T, &input{kind: gone, text: told.Text})
		k.ended = true
	case RanOut: // perhaps by a shorter lease, which came too late
		if told.Until < k.until-tick && told.Until >= shorter-tick {
			k.until = told.Until
		}
		k.ranOut(told, k.until)
	default:
		if told.Until < min(k.until, shorter)-tick {
			k.steady(told)
		}
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
			if late := call - k.gone(); late > 0 && (asked.Until != 0 || !k.auto) {
				k.never(ofAnswers, call, ret, fmt.Sprintf("unlocked %v after the last of its keys", time.Duration(late)))
			}
			// The library may have released the lock by itself when it ran out, and tells who
			// asks before the keys would have run out that it was in time.
			if call < k.until+drift(k.ttl)+tick {
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

// gone returns from when on no node has a key of the lock. A majority had it when the call
// returned that got or extended it. The others may get it later, and then Unlock may find it
// there while one of that majority does not answer. But that is no later than the faults
// that hold commands back, and what clients send again after them.
func (k *lockBuilder) gone() int64 {
	held := k.placed
	for more := true; more; {
		more = false
		for _, f := range k.history.Faults {
			if f.From <= held+tick && f.To > held {
				held, more = f.To, true
			}
		}
	}
	return held + resend + k.most
}

// drift returns how much longer keys last than a lease of that TTL is valid, by the default options.
func drift(ttl int64) int64 { return ttl/100 + int64(2*time.Millisecond) }
