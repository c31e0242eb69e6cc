package lane

import "time"

// A node counts what one node owes.
type node struct {
	open    int       // places taken and not done
	further int       // of them, taken while the node was silent
	since   time.Time // when the first place after its last answer was taken; zero if nothing is owed

	table *Table
	// The places whose command is sent, in the order in which they were, without those that
	// are written off.
	first, last *Place
	timer       *time.Timer // calls awake, which looks at them
	awake       func()
	wakes       time.Time // when it does; zero if it does not
	listens     bool      // it is to do so after the next answer
	heard       time.Time // when the latest command was sent that it has answered
	sent        int       // places whose command is sent, without those that were given up
	room        int       // how many may be; 0 if there is no bound
	held        [2]queue  // what waits for room: what keeps or ends a lock, and the rest
	answered    time.Time // when it has answered last
	failed      time.Time // when a call has ended last without an answer
}

// silentFor returns for how long the node has not answered, or 0 if that is
// less than timeout. A node is silent when it has owed an answer for longer
// than the node timeout and has answered nothing at all in the meantime. One
// answer that got lost does not make it silent, and a long queue of calls that
// it works off does not either.
func (n *node) silentFor(now time.Time, timeout time.Duration) time.Duration {
	if n.since.IsZero() {
		return 0
	}
	if d := now.Sub(n.since); d >= timeout {
		return d
	}
	return 0
}

// owe notes that an answer is owed from now on, if none was before.
func (n *node) owe(now time.Time) {
	if n.since.IsZero() {
		n.since = now
	}
}

// end notes that a place is over. Only an answer ends a silence. A call that
// fails before the node timeout does not begin one, unless others overlap with
// it without a gap until the node timeout has passed.
func (n *node) end(answered bool, now time.Time, timeout time.Duration) {
	n.open--
	if answered {
		n.answered = now
	}
	if answered || (n.open == 0 && n.silentFor(now, timeout) == 0) {
		n.since = time.Time{}
	}
}
