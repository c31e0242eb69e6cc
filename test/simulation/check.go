package simulation

import (
	"fmt"
	"time"
)

// A Violation is a promise that was found broken.
type Violation struct {
	Checker string // "a", "a2", "b" and so on; see the package comment
	Text    string
	from    time.Time // what the log of it is about
	to      time.Time
	on      string // resource; empty: all
}

func (v Violation) String() string { return "(" + v.Checker + ") " + v.Text }

// violate notes a violation that happened within [from, to].
func (w *world) violate(checker, on string, from, to time.Time, format string, args ...any) {
	w.found = append(w.found, Violation{Checker: checker, Text: fmt.Sprintf(format, args...), from: from, to: to, on: on})
}

// check checks what can be told when the history is over.
func (w *world) check() {
	for _, n := range w.nodes {
		n.settle()
	}
	for _, h := range w.holds {
		w.checkMajority(h)
		w.checkRelease(h)
		w.checkExtensions(h)
		w.checkAnswers(h)
	}
	w.checkOverlaps()
	w.checkOvertaking()
	w.checkProgress()
	w.checkTokens()
}

// quorum is a majority of all nodes. It is worked out here and not taken from
// the library, which is what the checkers judge.
func (w *world) quorum() int { return len(w.nodes)/2 + 1 }

// standing returns how many nodes had the value right after t.
func (v *value) standing(t time.Time) int {
	nodes := 0
	for _, s := range v.spans {
		if s.covers(t) {
			nodes++
		}
	}
	return nodes
}

// wiped returns how many nodes had the value before t, lost it with their data,
// had not got it back, and would still have it had they not lost it.
func (v *value) wiped(t time.Time) int {
	last := make(map[int]*span)
	for _, s := range v.spans {
		if !s.from.After(t) {
			last[s.node] = s
		}
	}
	nodes := 0
	for _, s := range last {
		if !s.open && !s.to.After(t) && (s.why.lost && s.expires.After(t) || s.restored && s.would.After(t)) {
			nodes++
		}
	}
	return nodes
}
