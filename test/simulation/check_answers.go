package simulation

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/client"
)

// An answer is what a program was told of a lock that it had.
type answer struct {
	call     string // what has told it
	from, to time.Time
	err      error
	until    time.Time // what Until said then
	ended    bool      // the call's context has ended
}

const (
	byUnlock  = "Unlock"
	byWith    = "With"
	byExtend  = "Extend"
	byContext = "the context"
)

// checkAnswers checks (i), what was told of a lock: that it was released, lost, extended, or
// that nobody knows.
func (w *world) checkAnswers(h *hold) {
	var before *answer // by an earlier Unlock
	for i := range h.answers {
		a := &h.answers[i]
		if text := h.wrong(a, before); text != "" {
			w.violate("i", h.value.resource, a.from, a.to, "%s of lock #%d told %v at %s, but %s", a.call, h.value.number, a.err, w.clock(a.to), text)
			return
		}
		if a.call == byUnlock && (a.err == nil || errors.Is(a.err, redlock.ErrLockLost)) && before == nil {
			before = a
		}
	}
}

// wrong returns what is wrong about an answer, or nothing.
func (h *hold) wrong(a, before *answer) string {
	switch released := a.call == byUnlock || a.call == byWith; {
	case a.err == nil && released:
		return h.wronglyReleased(a, before)
	case a.err == nil: // see extended
		return ""
	case errors.Is(a.err, redlock.ErrLockLost):
		return h.wronglyLost(a, before)
	case errors.Is(a.err, redlock.ErrUnlocked) && !released:
		if h.unlockedAt.IsZero() || h.unlockedAt.After(a.to) {
			return "nobody had unlocked it"
		}
		return ""
	case errors.Is(a.err, redlock.ErrNoQuorum) && released:
		if n := h.answered(a.to); n >= h.w.quorum() {
			return "all has been answered by a majority"
		}
		return ""
	case errors.Is(a.err, redlock.ErrNoQuorum) && a.call == byExtend:
		return ""
	case errors.Is(a.err, redlock.ErrHoldLimit) && a.call == byContext:
		if h.limit <= 0 || a.to.Before(h.began.Add(h.limit-h.process.gained(h.began, a.to))) {
			return "its limit was not reached"
		}
		return ""
	case errors.Is(a.err, context.Canceled), errors.Is(a.err, context.DeadlineExceeded):
		if !a.ended {
			return "the context of the call had not ended"
		}
		return ""
	default:
		return "this says nothing that is documented"
	}
}

// wronglyReleased returns what is wrong about a nil of an Unlock: the lock was not the
// process's own any more, as far as that was known, or as others know.
func (h *hold) wronglyReleased(a, before *answer) string {
	spare := len(h.w.nodes) - h.w.quorum()
	switch {
	case before != nil && before.err != nil && before.to.Before(a.from):
		return "an earlier Unlock has said that it was lost"
	case !h.lostAt.IsZero():
		return "the process was told before that it was lost, at " + h.w.clock(h.lostAt)
	case h.denied(a.to) > spare:
		return "too many nodes had said that it was not there"
	case h.denied(a.to)+h.cleared() > spare && !h.unlockedAt.Before(h.untilThen.Add(drift(h.ttl)+slack(h.ttl))):
		return "it had run out long before, and was removed then"
	case h.replied(a.to) < h.w.quorum():
		return "no majority has answered a release"
	}
	if g := h.follower(); g != nil {
		return "another one had it before it was unlocked, since " + h.w.clock(g.start)
	}
	return ""
}

// wronglyLost returns what is wrong about an answer that the lock is lost: it had not run out,
// and was not away from so many nodes.
func (h *hold) wronglyLost(a, before *answer) string {
	ranOut := !a.to.Before(a.until.Add(-h.process.gained(h.began, a.to)))
	if a.call == byUnlock || a.call == byWith { // the nodes decide until the keys run out
		ranOut = !h.unlockedAt.Before(h.untilThen.Add(drift(0) - h.process.gained(h.began, a.to)))
	}
	switch {
	case before != nil && before.err == nil && before.to.Before(a.from):
		return "an earlier Unlock has said that it was released"
	case !ranOut && h.away(h.proven(a.to), a.to) <= len(h.w.nodes)-h.w.quorum():
		return "it had neither run out nor was it gone from so many nodes"
	default:
		return ""
	}
}

// proven returns the beginning of the last round before t by which a majority is known to
// have had the lock, or its grant.
func (h *hold) proven(t time.Time) time.Time {
	at := h.start
	for _, s := range h.successes {
		if s.begun.After(at) && s.at.Before(t) {
			at = s.begun
		}
	}
	return at
}

// follower returns a lock on one of the resources that was granted after this one, and
// before this one was unlocked, or nil. That of a loss of data is excused.
func (h *hold) follower() *hold {
	for _, g := range h.w.holds {
		for _, own := range h.all() {
			if g.value.resource == own.value.resource && g.start.After(own.start) && g.start.Before(h.unlockedAt) && !h.w.bereft(own, g.start) {
				return g
			}
		}
	}
	return nil
}

// away returns from how many nodes the lock was away, at one of its resources, at some moment
// within [from, to], and not because of its own release.
func (h *hold) away(from, to time.Time) (nodes int) {
	for i := range h.w.nodes {
		if slices.ContainsFunc(h.all(), func(h *hold) bool { return h.value.away(i, from, to) }) {
			nodes++
		}
	}
	return nodes
}

func (v *value) away(node int, from, to time.Time) bool {
	var since time.Time // it was away
	released := false
	for _, s := range v.spans {
		if s.node != node {
			continue
		}
		if !released && !since.After(to) && s.from.After(from) {
			return true
		}
		since, released = s.to, s.why.by != nil && s.why.by.op == release && s.why.by.value == v.text
		if s.open {
			since = s.expires
		}
	}
	return !released && !since.After(to)
}

// releases returns the first release that was sent to a node, or nil, and whether nothing was
// under way or unknown there then.
func (h *hold) releases(node int) (first *call, clean bool) {
	// Behind a SET that was refused the script asks on. Behind a script that was, a release which
	// the node is owed goes first, if it is for the value that the refusal names.
	follows := false
	for _, c := range h.value.calls {
		switch {
		case c.node != node || c.unrun():
		case c.op == release:
			unknown := func(b *call) bool {
				return b != c && b.node == node && !b.from.After(c.from) && (b.err != nil && !b.unrun() || b.to.IsZero() || !b.to.Before(c.from))
			}
			return c, !follows && !slices.ContainsFunc(h.value.calls, unknown)
		case c.op == acquire:
			follows = c.refused
		}
	}
	return nil, false
}

// unrun reports whether the node has said that it has not carried the command out.
func (c *call) unrun() bool {
	return c.err != nil && (redis.HasErrorPrefix(c.err, "NOSCRIPT") || redis.HasErrorPrefix(c.err, "LOADING"))
}

// denied returns how many nodes have said by t that they did not have the lock when its first
// release came, and nothing else can have removed it.
func (h *hold) denied(t time.Time) int {
	return h.count(func(c *call, clean bool) bool { return clean && c.denied && c.err == nil && c.to.Before(t) })
}

// answered returns how many nodes have answered the first release by t, with nothing unknown.
func (h *hold) answered(t time.Time) int {
	return h.count(func(c *call, clean bool) bool { return clean && c.err == nil && !c.to.IsZero() && c.to.Before(t) })
}

func (h *hold) count(is func(c *call, clean bool) bool) (nodes int) {
	for i := range h.w.nodes {
		if c, clean := h.releases(i); c != nil && is(c, clean) {
			nodes++
		}
	}
	return nodes
}

// cleared returns from how many nodes the lock had been removed by a release of its own
// before it was unlocked.
func (h *hold) cleared() (nodes int) {
	for i := range h.w.nodes {
		var last *span
		for _, s := range h.value.spans {
			if s.node == i && s.from.Before(h.unlockedAt) {
				last = s
			}
		}
		if last != nil && !last.open && last.to.Before(h.unlockedAt) && last.why.by != nil && last.why.by.op == release {
			nodes++
		}
	}
	return nodes
}

// replied returns how many nodes have answered any release by t.
func (h *hold) replied(t time.Time) int {
	nodes := make(map[int]bool)
	for _, c := range h.value.calls {
		if c.op == release && c.err == nil && !c.to.IsZero() && !c.to.After(t) {
			nodes[c.node] = true
		}
	}
	return len(nodes)
}

// says notes what a node has said to a command.
func (c *call) says(cmd redis.Cmder) {
	of, ok := cmd.(interface{ Result() (any, error) })
	if !ok {
		return
	}
	reply, _ := of.Result()
	all, _ := reply.([]any)
	if len(all) > 0 {
		reply = all[0]
	}
	n, _ := reply.(int64)
	c.denied = c.op == release && n <= 0
	if c.op == acquire {
		c.refused = cmd.Name() == "set" && n != client.IsSet || len(all) > 1 && all[1] != "ours"
	}
}

// checkLasting checks that the nodes have the lock, just after Extend has returned nil, until
// the end that it has now. Some may have lost it with their data since they agreed.
func (w *world) checkLasting(h *hold, begun, until time.Time) {
	nodes := 0
	for _, n := range w.nodes {
		s := n.here[h.value.resource]
		if s != nil && s.value == h.value && !s.expires.Before(until) || h.value.lost(n.id, begun) {
			nodes++
		}
	}
	if nodes < w.quorum() {
		w.violate("i", h.value.resource, begun, time.Now(), "Extend of lock #%d returned nil at %s, but only %d of %d nodes have it until %s",
			h.value.number, w.clock(time.Now()), nodes, len(w.nodes), w.clock(until))
	}
}

// lost reports whether a node has lost the value with its data since then.
func (v *value) lost(node int, since time.Time) bool {
	return slices.ContainsFunc(v.spans, func(s *span) bool {
		return s.node == node && !s.open && s.why.lost && !s.to.Before(since)
	})
}

// hears notes what the program was told of a lock.
func (h *hold) hears(a answer) {
	h.answers = append(h.answers, a)
	s := &h.w.stats
	switch {
	case a.err == nil:
		s.Affirmed++
	case errors.Is(a.err, redlock.ErrLockLost):
		s.Denied++
	default:
		s.Unsure++
	}
}
