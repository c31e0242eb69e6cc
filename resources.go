package redlock

import (
	"context"
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/line"
	"github.com/b0401464/redlock/internal/round"
)

func (l *Locker) newRequestAll(ctx context.Context, resources []string, ttl time.Duration, opts []LockOption) (request, error) {
	if err := l.canLock(ctx); err != nil {
		return request{}, err
	}
	all, err := setOf(resources)
	if err != nil {
		return request{}, err
	}
	if len(all) == 1 {
		return l.newRequest(ctx, all[0], ttl, opts)
	}
	if a, b, found := round.Clash(all); found {
		return request{}, invalid("resource %s is a key that belongs to resource %s", quote(b), quote(a))
	}
	for _, s := range l.shards {
		if err := s.check(all); err != nil {
			return request{}, err
		}
	}
	return l.requestFor(&hold{locker: l, resources: all, group: new(line.Group)}, ttl, opts)
}

// setOf returns resources sorted and without duplicates, as a list of its own.
func setOf(resources []string) ([]string, error) {
	if len(resources) == 0 {
		return nil, invalid("no resources: want at least one")
	}
	if i := slices.Index(resources, ""); i >= 0 {
		return nil, invalid("resource %d of %d is empty", i+1, len(resources))
	}
	all := slices.Clone(resources)
	slices.Sort(all)
	return slices.Compact(all), nil
}

// A shards is a client of several servers among which keys are spread.
type shards struct {
	client int
	spread round.Spread
}

// shardsOf returns one client of each kind: what they ask of resources is the same.
func shardsOf(nodes []round.Client) []shards {
	var all []shards
	for i, c := range nodes {
		spread := round.SpreadOf(c)
		if spread != round.Whole && !slices.ContainsFunc(all, func(s shards) bool { return s.spread == spread }) {
			all = append(all, shards{i, spread})
		}
	}
	return all
}

// check returns an error if not all resources are sure to lie on one server.
func (s shards) check(resources []string) error {
	first := resources[0]
	for _, other := range resources[1:] {
		if s.spread.Together(first, other) {
			continue
		}
		where := "may lie on different shards of the Ring"
		if s.spread == round.BySlot {
			where = "lie in different slots of the Cluster"
		}
		return invalid("resources %s and %s %s that client %d is: give all a common hash tag, a part in braces that alone decides, as in {order:42}:items and {order:42}:payment",
			quote(first), quote(other), where, s.client)
	}
	return nil
}

// several reports whether the request is for more than one resource.
func (r *request) several() bool { return r.hold.group != nil }

// watch has a request for several resources told when one of them is unlocked here,
// if it is going to wait.
func (r *request) watch() {
	if r.several() && !r.single() {
		r.locker.lines.Watch(r.hold.group, r.hold.resources)
	}
}

// maxYields is how often in a row a request for several resources leaves them to one
// that was called. It has no place in their lines, and would wait for ever where
// somebody always has.
const maxYields = 3

// yields reports whether the next attempt leaves resources to those who are called. The
// first try on quiet ones needs no gate.
func (r *request) yields() bool {
	w := &r.wait
	return w.yielded < maxYields && (w.refused || r.locker.memory.Contended(r.hold.resources...))
}

// learnAll takes note of what an attempt for several resources has told: not which of
// them is contended.
func (w *wait) learnAll(t round.Ticket, res round.Result) {
	w.refused = w.refused || res.Refused > 0
	switch {
	case res.Gate.Reserved:
		w.yielded++
	case !t.Yields:
		w.yielded = 0
	}
}

// tried lets those go on that wait for the end of an attempt, which was refused.
func (h *hold) tried() {
	if h.group != nil {
		h.group.Asked()
	} else {
		h.place.Tried()
	}
}

// woken returns a channel that tells when there is a reason to try again: the hold
// has a place in the line of its Locker or, for several resources, in none.
func (h *hold) woken() <-chan struct{} {
	if h.group != nil {
		return h.group.Woken()
	}
	return h.place.Woken()
}

// leaveLine gives up waiting, as [line.Place.Leave] does.
func (h *hold) leaveLine() (gate int, owed bool) {
	if h.group != nil {
		h.group.Leave()
		return 0, false
	}
	return h.place.Leave()
}

// occupy has others of the Locker wait for the end of the hold.
func (h *hold) occupy() {
	if h.group != nil {
		h.locker.lines.HoldAll(h.group, h.resources, h)
	} else {
		h.locker.lines.Hold(&h.place, h.resources[0], h)
	}
}

// letNext lets those go that wait for the end of the hold.
func (h *hold) letNext() {
	if h.group != nil {
		h.group.End()
	} else {
		h.place.End()
	}
}
