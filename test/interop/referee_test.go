package interop

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// A referee knows who is in a section. A worker enters when it has got the lock
// and leaves before it lets go of it, and waits for the referee's word both
// times: whoever overlaps here had the lock at the same time. The referee knows
// nothing of locks.
type referee struct {
	limit     int // of sections
	libraries []library
	took      time.Duration

	mu       sync.Mutex
	inside   map[*worker]bool
	sections int
	overlaps int
	first    string // overlap
	tally    map[*worker]*tally
}

// A tally is how a worker fared.
type tally struct {
	sections int
	longest  time.Duration // wait from one section to the next
}

func newReferee(limit int, libraries []library) *referee {
	return &referee{limit: limit, libraries: libraries, inside: map[*worker]bool{}, tally: map[*worker]*tally{}}
}

// attend has w contend and lets it in and out until there have been enough
// sections.
func (r *referee) attend(w *worker, key string, ttl, delay time.Duration) error {
	if err := w.say(fmt.Sprintf("contend %s %d %d", key, ttl.Milliseconds(), delay.Milliseconds())); err != nil {
		return err
	}
	for begun := time.Now(); ; begun = time.Now() {
		if err := expect(w, "enter"); err != nil {
			return err
		}
		if !r.enter(w, time.Since(begun)) {
			break
		}
		if err := w.say("in"); err != nil {
			return err
		}
		if err := expect(w, "leave"); err != nil {
			return err
		}
		r.leave(w)
		if err := w.say("out"); err != nil {
			return err
		}
	}
	if err := w.say("over"); err != nil {
		return err
	}
	return expect(w, "ok")
}

func expect(w *worker, want string) error {
	line, err := w.hear()
	if err != nil || line == want {
		return err
	}
	return fmt.Errorf("worker of %s says %q instead of %q", w.library.name, line, want)
}

// enter lets w in unless there have been enough sections.
func (r *referee) enter(w *worker, wait time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sections >= r.limit {
		return false
	}
	r.sections++
	for other := range r.inside {
		r.overlaps++
		if r.overlaps == 1 {
			r.first = fmt.Sprintf("section %d of %s began inside one of %s", r.sections, w.library.name, other.library.name)
		}
	}
	r.inside[w] = true
	t := r.tally[w]
	if t == nil {
		t = &tally{}
		r.tally[w] = t
	}
	t.sections++
	t.longest = max(t.longest, wait)
	return true
}

func (r *referee) leave(w *worker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.inside, w)
}

// stop lets nobody in any more.
func (r *referee) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = 0
}

// of returns how the workers of a library fared together.
func (r *referee) of(l library) tally {
	var sum tally
	for w, t := range r.tally {
		if w.library == l {
			sum.sections += t.sections
			sum.longest = max(sum.longest, t.longest)
		}
	}
	return sum
}

// String is for when all is over.
func (r *referee) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d sections in %.1f s, %d overlaps", r.sections, r.took.Seconds(), r.overlaps)
	for i, l := range r.libraries {
		if !slices.Contains(r.libraries[:i], l) {
			t := r.of(l)
			fmt.Fprintf(&b, "; %s: %d, longest wait %d ms", l.name, t.sections, t.longest.Milliseconds())
		}
	}
	return b.String()
}
