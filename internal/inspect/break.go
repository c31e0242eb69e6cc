package inspect

import (
	"context"
	"time"

	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
	"github.com/b0401464/redlock/internal/value"
)

// An Outcome is what came of a Break.
type Outcome uint8

// Outcomes.
const (
	Broken     Outcome = iota + 1 // a majority has removed the value, or has it not
	Other                         // another value has a majority
	Unanswered                    // too few nodes have answered
	Undecided                     // ctx has ended the wait
)

// A Breach is what came of a Break, and how.
type Breach struct {
	Outcome  Outcome
	By       value.Name // who has a majority, of Other
	Agreed   int        // nodes that have removed the value, or have it not
	Failures []node.Failure
}

// Break has the value with a mark removed from all nodes. They are read first, as the mark does
// not tell the value: what is sent then is the release of that value, which removes no other
// one, whatever has come there meanwhile, and calls the next one in line. It waits for each of
// both for as long as the timeout.
func (r *Reader) Break(ctx context.Context, resource, mark string, timeout time.Duration) Breach {
	sights := r.read(ctx, timeout, query{resource: resource}, func(sights []Sight) bool {
		t := tally(sights, mark)
		return t.enough()
	})
	t := tally(sights, mark)
	switch {
	case ctx.Err() != nil && !t.enough():
		return Breach{Outcome: Undecided, Agreed: t.without}
	case t.count == 0 && t.other >= t.majority():
		return Breach{Outcome: Other, By: t.by, Agreed: t.without, Failures: Failures(sights)}
	case t.count == 0 && t.without >= t.majority():
		return Breach{Outcome: Broken, Agreed: t.without}
	case t.count == 0:
		return Breach{Outcome: Unanswered, Agreed: t.without, Failures: Failures(sights)}
	}
	wave := r.nodes.Found(resource, t.value, time.Now().Add(t.lasts())).Release(ctx, timeout, round.Pop)
	if t.other >= t.majority() { // what is left of the value goes in the background
		return Breach{Outcome: Other, By: t.by, Agreed: t.without, Failures: Failures(sights)}
	}
	res := wave.Wait(ctx)
	b := Breach{Agreed: res.Agreed + res.Refused, Failures: res.Failures}
	switch res.Outcome {
	case quorum.Released, quorum.Lost:
		b.Outcome = Broken
	case quorum.Unanswered:
		b.Outcome = Unanswered
	default:
		b.Outcome = Undecided
	}
	return b
}

// A count is how the nodes stand to the value with a mark.
type count struct {
	nodes   int
	pending int           // have not told yet
	without int           // have told, and have it not
	value   string        // with the mark
	count   int           // nodes that have it
	left    time.Duration // for how long at most; negative if for ever
	other   int           // nodes that have another one, which most have
	by      value.Name    // of that
}

func tally(sights []Sight, mark string) count {
	t := count{nodes: len(sights)}
	others := make(map[string]int)
	for i := range sights {
		switch s := &sights[i]; {
		case !s.Told && s.Err == nil:
			t.pending++
		case !s.Told:
		case s.There && value.Mark(s.Value) == mark:
			t.has(s)
		case s.There:
			t.without++
			if others[s.Value]++; others[s.Value] > t.other {
				t.other, t.by = others[s.Value], value.NameOf(s.Value)
			}
		default:
			t.without++
		}
	}
	return t
}

// has counts a node that has the value.
func (t *count) has(s *Sight) {
	t.value = s.Value
	t.count++
	if s.Left < 0 || t.left < 0 {
		t.left = -1
	} else {
		t.left = max(t.left, s.Left)
	}
}

func (t *count) majority() int { return quorum.Size(t.nodes) }

// enough reports whether what the others tell would change nothing: the value is known, and no
// other one can be found on a majority, or one was.
func (t *count) enough() bool {
	return t.other >= t.majority() || t.count > 0 && t.other+t.pending < t.majority() || t.pending == 0
}

// Bounds of how long a node that does not answer is asked to remove a value: of one without
// expiry, and of any, as a key may be there for longer than a Duration can tell.
const (
	endless = time.Hour
	longest = 100 * 365 * 24 * time.Hour
)

// lasts returns for how long the value may be on a node at most, whose clock may be slower.
func (t *count) lasts() time.Duration {
	if t.left < 0 {
		return endless
	}
	left := min(t.left, longest)
	return left + left/100 + time.Second
}
