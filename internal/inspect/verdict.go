package inspect

import (
	"math"
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/value"
)

// A Verdict is what follows from what the nodes have told.
type Verdict string

// Verdicts.
const (
	Unknown Verdict = "unknown" // what the other nodes have would decide it
	Held    Verdict = "held"    // a majority has one value
	Free    Verdict = "free"    // no node that has told has any, and the others are no majority
	Split   Verdict = "split"   // some have one, and none can have a majority
)

// Judge returns what follows from the sights of all nodes: for Held whose value a majority
// has, and for Unknown whose value may have one, if it is that of one only. lasts is how long
// a majority keeps it, as far as that is known; negative if for ever.
func Judge(sights []Sight) (v Verdict, by value.Name, lasts time.Duration) {
	leader, count, next := leaders(sights)
	majority, missing := quorum.Size(len(sights)), 0
	for i := range sights {
		if !sights[i].Told {
			missing++
		}
	}
	switch {
	case count >= majority:
		return Held, value.NameOf(leader), keeps(sights, leader, majority)
	case count+missing >= majority && count > 0 && next+missing < majority && missing < majority:
		return Unknown, value.NameOf(leader), keeps(sights, leader, count)
	case count+missing >= majority:
		return Unknown, by, 0
	case count == 0:
		return Free, by, 0
	}
	return Split, by, 0
}

// leaders returns the value that most nodes have, how many have it, and how many have the one
// that comes next.
func leaders(sights []Sight) (leader string, count, next int) {
	counts := make(map[string]int)
	for i := range sights {
		if s := &sights[i]; s.There {
			counts[s.Value]++
		}
	}
	for _, s := range sights { // in the order of the nodes
		switch n := counts[s.Value]; {
		case !s.There || count > 0 && s.Value == leader:
		case n > count:
			leader, count, next = s.Value, n, count
		case n > next:
			next = n
		}
	}
	return leader, count, next
}

// keeps returns for how long so many nodes have a value.
func keeps(sights []Sight, text string, nodes int) time.Duration {
	var left []time.Duration
	for i := range sights {
		if s := &sights[i]; s.There && s.Value == text {
			if s.Left < 0 {
				left = append(left, math.MaxInt64)
			} else {
				left = append(left, s.Left)
			}
		}
	}
	slices.Sort(left)
	if d := left[len(left)-nodes]; d < math.MaxInt64 {
		return d
	}
	return -1
}
