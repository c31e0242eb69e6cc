// Package finding says what follows from what is known of the nodes of a Locker and of their
// clients: whether they are fit for its locks, what is not as it should be, and what to do about
// that, as a table and as JSON. It does no I/O and reads no clock. Package check brings the facts.
package finding

import (
	"time"

	"github.com/b0401464/redlock/internal/client"
)

// A Setup is what the locks go by that the nodes are to keep.
type Setup struct {
	TTL     time.Duration
	Drift   time.Duration
	Timeout time.Duration // the node timeout
	Lines   bool          // Lockers wait in lines
	Batches bool          // commands go in batches
	Fencing bool          // locks have tokens
	Scripts bool          // scripts are run

	// Quarantine is how long a server has to be up until it grants locks; 0 if it need not.
	Quarantine time.Duration
}

// A Node is what is known of a node.
type Node struct {
	Addr   string
	Client Settings

	Err       error         // of the client: why nothing more was asked
	Silent    time.Duration // for how long it has owed the answer for which nothing more was asked
	Answered  bool          // it has answered something
	Cut       bool          // the check was over before the node had told all
	RoundTrip time.Duration // the shortest; 0 if it has not answered
	Servers   []Server      // behind the client: one, or as many as keys are spread among
	Trial     Trial
}

// A Server is what is known of a server.
type Server struct {
	Info

	Addr      string
	Err       error         // why INFO has not told
	Pending   bool          // it owes an answer
	Timed     bool          // TIME has told
	Ahead     time.Duration // what its clock is ahead of that of this process
	Uncertain time.Duration // by how much that may be wrong
	Answered  bool          // it has answered something
}

// A Trial is what has come of a lock on a node.
type Trial struct {
	Step    string        // what has failed: "take", "extend" or "release"; empty if nothing has
	Err     error         // why
	Script  bool          // that was a script
	Denied  error         // the user may not use the key, so that nothing was tried
	Same    int           // the node that has the same database, from 1
	Forgot  bool          // a key was gone that the node had set just before
	Granted bool          // the lock was taken and extended
	Deletes string        // the command that releases there: "delex", "delifeq" or "none"
	Late    bool          // a write was answered before it was on disk
	Refused []string      // what the line needs and the user may not do
	LineErr error         // why nothing of the line was tried
	HearErr error         // why the client cannot listen
	Unheard time.Duration // for how long a message was waited for in vain
}

// Steps of a trial.
const (
	Take    = "take"
	Extend  = "extend"
	Release = "release"
)

// Settings are what a client's options say.
type Settings struct {
	Spread      client.Spread
	Plain       bool          // a client of go-redis for one server
	Failover    bool          // whose address Sentinels tell
	Listens     bool          // it can
	Own         bool          // it is one of go-redis
	Known       bool          // the options are
	ReadTimeout time.Duration // 0 for none
	Connections int           // at most
}
