package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/lane"
)

// A Failure is a node that failed to answer a command.
type Failure struct {
	Node int // from 0
	Op   Op
	Err  error
}

// ErrBehind is told of a node where a command of the same value is unanswered.
var ErrBehind = errors.New("no answer yet to an earlier command of this lock")

// errSame is told of a node that has the value although nothing was sent to it before.
// Its vote does not count: the server has one, and has given it.
var errSame error = sameError{}

type sameError struct{}

func (sameError) Error() string {
	return "the lock's value was there before: another client leads to the same server"
}

// A silentError says that a node did not answer.
type silentError struct {
	silent time.Duration
	full   bool    // it was not asked because enough calls wait for it
	last   *string // its last error, if any
}

func (e *silentError) Error() string {
	text := fmt.Sprintf("no answer within %v", e.silent.Round(time.Millisecond))
	if e.full {
		text += fmt.Sprintf(", not asked as %d calls wait already", lane.Limit)
	}
	if e.last != nil {
		text += "; its last error: " + *e.last
	}
	return text
}

// ErrorType returns a name of low cardinality for the failure of a node:
// "no_answer", "timeout", "panic", "same_server", the code of a Redis error such as "LOADING",
// or the name of a Go type.
func ErrorType(err error) string {
	if _, ok := errors.AsType[*silentError](err); ok || errors.Is(err, ErrBehind) {
		return "no_answer"
	}
	if errors.Is(err, errSame) {
		return "same_server"
	}
	return client.ErrorType(err)
}
