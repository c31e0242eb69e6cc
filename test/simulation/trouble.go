package simulation

import "time"

// A stretch is a time in which something is so.
type stretch struct{ from, to time.Time }

// Stretches are in order, and do not overlap.
type stretches []stretch

// How long something stays wrong for the line. A connection that hangs is found out by
// its client after a read, and a dial; one that only listens hears nothing for as
// long, and is then pinged for as long. Who was not told asks by itself within half
// a second or so, or 2.5 s where many are before it, and so does who has to be put
// back into a line that was lost.
const (
	hangs   = 13 * sec
	resumes = 4 * sec
)

// redials is how long it takes a client at most to have a connection again: what is not
// answered is sent once more a second later, and a pool whose dials failed waits for so long.
const redials = 2 * sec

// slowest is how long a message may take and still leave the one who is called
// enough of the shortest reservation: it and the command that it brings about, or
// those of an attempt that was refused just before, take three times as long.
const slowest = 9 * ms

// add notes that something is wrong from now on.
func (s stretches) add(lasts time.Duration) stretches {
	now := time.Now()
	to := now.Add(lasts)
	if n := len(s); n > 0 && !s[n-1].to.Before(now) {
		if last := &s[n-1]; to.After(last.to) {
			last.to = to
		}
		return s
	}
	return append(s, stretch{now, to})
}

// noneSince reports whether there has been none since then, nor an end of one.
func (s stretches) noneSince(then time.Time) bool {
	n := len(s)
	return n == 0 || s[n-1].to.Before(then)
}

// trouble notes that something is wrong for a process, so that the line may come to
// nothing for it.
func (p *process) trouble(lasts time.Duration) { p.troubles = p.troubles.add(lasts) }

// trouble notes that something is wrong between a process and a node, and for how long
// after it the line may still come to nothing. Calls are well before.
func (l *link) trouble(lasts, after time.Duration) {
	l.troubles = l.troubles.add(lasts + redials)
	l.process.trouble(lasts + after)
}

// trouble notes that something is wrong with a node.
func (n *node) trouble(lasts, after time.Duration) {
	for _, l := range n.w.linksOf(n) {
		l.trouble(lasts, after)
	}
}

// befalls notes what the fate and the delay of a message make go wrong.
func (l *link) befalls(f fate, takes time.Duration) {
	switch {
	case f == isLost || f == losesReply:
		l.trouble(takes, hangs)
	case f != arrives || takes > slowest:
		l.trouble(takes, resumes)
	}
}

// calm reports whether nothing is wrong for a process, and nothing was a moment ago.
func (p *process) calm() bool { return p.troubles.noneSince(time.Now()) }

// mostCalmSince reports whether nothing has been wrong since then between a process and
// a majority of the nodes.
func (p *process) mostCalmSince(then time.Time) bool {
	calm := 0
	for _, l := range p.links {
		if l.troubles.noneSince(then) {
			calm++
		}
	}
	return calm > len(p.links)/2
}
