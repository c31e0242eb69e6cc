package simulation

import "time"

// A stretch is a time in which something is so.
type stretch struct{ from, to time.Time }

// How long something stays wrong for the line. A connection that hangs is found out by
// its client after a read, and a dial; one that only listens hears nothing for as
// long, and is then pinged for as long. Who was not told asks by itself within half
// a second or so, or 2.5 s where many are before it, and so does who has to be put
// back into a line that was lost.
const (
	hangs   = 13 * sec
	resumes = 4 * sec
)

// slowest is how long a message may take and still leave the one who is called
// enough of the shortest reservation: it and the command that it brings about, or
// those of an attempt that was refused just before, take three times as long.
const slowest = 9 * ms

// trouble notes that something is wrong for a process, so that the line may come to
// nothing for it.
func (p *process) trouble(lasts time.Duration) {
	now := time.Now()
	to := now.Add(lasts)
	if n := len(p.troubles); n > 0 && !p.troubles[n-1].to.Before(now) {
		if last := &p.troubles[n-1]; to.After(last.to) {
			last.to = to
		}
		return
	}
	p.troubles = append(p.troubles, stretch{now, to})
}

// trouble notes that something is wrong for all processes.
func (w *world) trouble(lasts time.Duration) {
	for _, p := range w.processes {
		p.trouble(lasts)
	}
}

// befalls notes what the fate and the delay of a message make go wrong.
func (p *process) befalls(f fate, takes time.Duration) {
	switch {
	case f == isLost || f == losesReply:
		p.trouble(takes + hangs)
	case f != arrives || takes > slowest:
		p.trouble(takes + resumes)
	}
}

// calm reports whether nothing is wrong for a process, and nothing was a moment ago.
func (p *process) calm() bool {
	n := len(p.troubles)
	return n == 0 || p.troubles[n-1].to.Before(time.Now())
}
