// Package run runs a command under a lock, so that the command has ended before the lock has.
//
// On Unix two processes share the work. The front is the one that the user has started: it
// has the terminal, hears the signals, and stops and goes on as the shell says. The keeper is
// its child: it holds the lock, starts the command and ends it in time. The keeper is in a
// process group of its own, so that a terminal or a shell that stops the job does not stop
// it: the lock is extended all the same. Each of the two notices at once when the other one
// dies, and ends the command. On Windows there is one process and a job object.
package run

import (
	"time"

	"github.com/b0401464/redlock/cmd/redlock/internal/nodes"
)

// A Job is what one run is to do.
type Job struct {
	Nodes   nodes.Config
	Keys    []string
	Command []string // as the user wrote it
	Path    string   // of its program

	TTL   time.Duration
	Wait  time.Duration // for the lock; redlock.Forever, or 0 for one attempt
	Since time.Time     // when the wait began
	Limit time.Duration // for holding it, or redlock.Forever
	Owner string

	Quarantine time.Duration // of nodes that were restarted, or 0

	Token  bool // issue a fencing token
	OnLost OnLost
	Grace  time.Duration // from TERM to KILL
}

// An OnLost says what happens to a command whose lock is lost.
type OnLost string

// Values of OnLost.
const (
	Term   OnLost = "term"   // TERM, and KILL after the grace
	Kill   OnLost = "kill"   // KILL
	Ignore OnLost = "ignore" // nothing
)

// A Kind says how a run ended.
type Kind string

// Kinds of ends.
const (
	Done        Kind = "done"        // as the command did
	Contended   Kind = "contended"   // somebody else has the lock
	NoQuorum    Kind = "no-quorum"   // too few nodes answered
	Lost        Kind = "lost"        // while the command ran
	Usage       Kind = "usage"       // nothing was tried
	NotFound    Kind = "not-found"   // there is no such command
	CannotRun   Kind = "cannot-run"  // there is, and it cannot be executed
	Interrupted Kind = "interrupted" // by a signal, before the command ran
	Failed      Kind = "failed"      // the machine does not let us
)

// An Outcome is how a run ended.
type Outcome struct {
	Kind   Kind
	Text   string // one line for standard error, or none
	Code   int    // of the command that is Done
	Signal int    // that ended it, or us
}

// margin is how long before the end of the lock the command is killed: what a busy machine
// may need for it.
func (j *Job) margin() time.Duration { return min(max(j.TTL/20, 50*time.Millisecond), time.Second) }
