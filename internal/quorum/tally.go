package quorum

// An Outcome is what the votes of a round have decided.
type Outcome uint8

// Outcomes. Undecided means that votes still expected can change the result.
const (
	Undecided Outcome = iota

	Acquired    // attempt: a majority granted
	Unavailable // attempt: fewer than a majority answered
	Held        // attempt: one other holder refused on a majority, or could have
	Split       // attempt: contenders took the nodes from each other

	Extended // extension: a majority still held the value
	Unknown  // extension: neither extended nor lost for certain

	Released   // release: removed from a majority, or a majority answered
	Unanswered // release: fewer than a majority answered

	Lost // extension, release: gone from so many nodes that no majority can hold it
)

// Acquire counts the votes of an attempt.
type Acquire struct {
	Nodes   int // asked
	Granted int
	Refused int
	Failed  int
	marks   []mark
}

// A mark counts the refusals in favour of one other value.
type mark struct {
	name  string
	count int
}

// Refuse counts a refusal in favour of the value with that mark.
func (a *Acquire) Refuse(name string) {
	a.Refused++
	for i := range a.marks {
		if a.marks[i].name == name {
			a.marks[i].count++
			return
		}
	}
	a.marks = append(a.marks, mark{name, 1})
}

// Outcome returns what the votes decide while waiting more nodes are expected
// to vote, and silent ones are not.
func (a *Acquire) Outcome(waiting, silent int) Outcome {
	majority := Size(a.Nodes)
	answered := a.Granted + a.Refused
	top := a.top()
	switch {
	case a.Granted >= majority:
		return Acquired
	case answered+waiting < majority:
		return Unavailable
	case a.Granted+waiting >= majority:
		return Undecided
	case answered >= majority && top+silent >= majority:
		return Held
	case answered >= majority && top+waiting+silent < majority, waiting == 0:
		return Split
	}
	return Undecided
}

func (a *Acquire) top() int {
	_, count := a.Top()
	return count
}

// Top returns the mark in favour of which most nodes have refused, and how many.
func (a *Acquire) Top() (name string, count int) {
	for i := range a.marks {
		if a.marks[i].count > count {
			name, count = a.marks[i].name, a.marks[i].count
		}
	}
	return name, count
}

// Extend counts the votes of an extension.
type Extend struct {
	Nodes int
	Held  int // extended, and the value had been there without a break
	Gone  int // away, or replaced by somebody else's
}

// Outcome returns what the votes decide while waiting more nodes are expected
// to vote.
func (e Extend) Outcome(waiting int) Outcome {
	majority, spare := Size(e.Nodes), Spare(e.Nodes)
	switch {
	case e.Held >= majority:
		return Extended
	case e.Gone > spare:
		return Lost
	case e.Held+waiting >= majority || e.Gone+waiting > spare:
		return Undecided
	}
	return Unknown
}

// Release counts the votes of a release.
type Release struct {
	Nodes   int
	Removed int
	NotOurs int // the first release that reached the node did not find the value
}

// Outcome returns what the votes decide while waiting more nodes are expected
// to vote.
func (r Release) Outcome(waiting int) Outcome {
	majority, spare := Size(r.Nodes), Spare(r.Nodes)
	answered := r.Removed + r.NotOurs
	switch {
	case r.NotOurs > spare:
		return Lost
	case r.Removed >= majority:
		return Released
	case r.NotOurs+waiting > spare:
		return Undecided
	case answered >= majority:
		return Released
	case answered+waiting < majority:
		return Unanswered
	}
	return Undecided
}
