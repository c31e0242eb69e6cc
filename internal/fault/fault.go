// Package fault says what went wrong with a lock, as a plain value: of which operation, on
// what, how the votes stood, and which kinds of failure that is. It knows nothing of the
// errors that the program sees; the root package makes them of its values. Packages lease
// and acquire return them.
package fault

import (
	"time"

	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/value"
)

// An Op is what failed.
type Op string

// Ops.
const (
	Lock   Op = "lock"
	Extend Op = "extend"
	Unlock Op = "unlock"
	Hold   Op = "hold" // nothing that was called: a lock ended while it was held

	Inspect Op = "inspect"
	Break   Op = "break"
)

// A Kind is a kind of failure. The program branches on it.
type Kind uint8

// Kinds. Of several, telemetry is told the first one here.
const (
	LockLost Kind = iota + 1
	HoldLimit
	Unlocked
	Shutdown
	Contended
	OtherHolder
	TokenLimit
	NoQuorum
)

// A Fault is an operation that fewer nodes agreed to than needed, or the end of a lock.
type Fault struct {
	Op        Op
	Resources []string // a list of its own
	Kinds     []Kind   // what it stands for, the most telling one first
	Detail    string   // what the kind alone does not say
	Of        string   // the value of the lock, if it tells why that has ended
	Cause     error    // the error of the caller's context, if that ended the call

	Attempts   int // 0 if nothing was sent
	Agreed     int // nodes that agreed in the last finished round
	Nodes      int // how many there are
	Quorum     int // how many had to agree
	Failures   []node.Failure
	RetryAfter time.Duration // as that of a round.Result
	By         value.Name    // of the value of somebody else who has it, if that has been told
}
