package waitqueue

import (
	"time"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// A Sight is what an attempt of this process has seen of a resource. Who gives up
// without an attempt of its own, or with one that was cut off, goes by it.
type Sight struct {
	Result round.Result
	Took   time.Duration // how long the attempt took; 0 if it has timed out
	at     time.Time     // when it ended
	cut    time.Time     // since when attempts have been cut off, and told nothing; zero if none was
}

// heldHere is what is known since this process has had the resource.
var heldHere = &Sight{Result: round.Result{Outcome: quorum.Held}}

// Fresh reports whether the sight is to be believed yet. It is not once attempts that
// were cut off have told nothing for that long, if the nodes do not answer others either.
func (s *Sight) Fresh(timeout time.Duration, answers func() bool) bool {
	return s.cut.IsZero() || time.Since(s.cut) < timeout || answers()
}

// RetryAfter is the result's as of now.
func (s *Sight) RetryAfter() time.Duration {
	if s.Result.RetryAfter == round.Never {
		return round.Never
	}
	return max(s.Result.RetryAfter-time.Since(s.at), 0)
}

// See notes what an attempt has seen, for all that wait for one of the resources.
func (t *Table) See(resources []string, res round.Result, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &Sight{Result: res, Took: took, at: time.Now()}
	for _, resource := range resources {
		l := t.queues[resource]
		switch {
		case l == nil:
		case len(resources) > 1 && res.Outcome != quorum.Unavailable:
			l.seenOfSet = s // somebody has one of them, which may be another one
		case res.GateOnly && l.seen != nil && l.seen.Result.Outcome == quorum.Unavailable && !l.seen.Result.GateOnly:
			// One node says nothing of a majority. It is asked again soon.
		case res.GateOnly && l.seen != nil && !l.seen.cut.IsZero():
			x := *s
			x.cut = l.seen.cut
			l.seen = &x
		default:
			l.seen = s
		}
	}
}

// SeeNothing notes that an attempt that began at start was cut off before it was
// decided.
func (t *Table) SeeNothing(resources []string, start time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	cut := func(seen **Sight) {
		if *seen != nil && (*seen).cut.IsZero() {
			s := **seen // it may be the sight of others, too
			s.cut = start
			*seen = &s
		}
	}
	for _, resource := range resources {
		if l := t.queues[resource]; l != nil {
			cut(&l.seen)
			if len(resources) > 1 {
				cut(&l.seenOfSet)
			}
		}
	}
}

// Seen returns what was seen last of one of the resources, or nil. What was seen before
// attempts were cut off comes behind what was seen of another resource.
func (t *Table) Seen(resources []string) (latest *Sight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	consider := func(s *Sight) {
		if s != nil && (latest == nil || s.after(latest)) {
			latest = s
		}
	}
	for _, resource := range resources {
		if l := t.queues[resource]; l != nil {
			consider(l.seen)
			if len(resources) > 1 {
				consider(l.seenOfSet)
			}
		}
	}
	return latest
}

func (s *Sight) after(other *Sight) bool {
	if s.cut.IsZero() != other.cut.IsZero() {
		return s.cut.IsZero()
	}
	return s.at.After(other.at)
}
