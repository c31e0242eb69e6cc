//go:build linux

package linearize

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"

	"github.com/b0401464/redlock"
)

// A recorder writes the events of a worker. What it has written stays when the process is
// killed, as the kernel has it; only the machine must not fail.
type recorder struct {
	mu   sync.Mutex
	file *os.File
}

func newRecorder(path string) (*recorder, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // which the test gives
	return &recorder{file: f}, err
}

// put writes an event by one write. A worker that cannot is of no use.
func (r *recorder) put(e *Event) {
	line, err := json.Marshal(e)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		_, err = r.file.Write(append(line, '\n'))
	}
	if err != nil {
		panic(err)
	}
}

// resultOf returns what an error means, and notes in e what it tells besides.
func resultOf(e *Event, err error) {
	if err == nil {
		e.Result = OK
		return
	}
	e.Text = err.Error()
	switch {
	case errors.Is(err, redlock.ErrLockLost) && strings.Contains(e.Text, "its TTL ran out"):
		e.Result = RanOut
	case errors.Is(err, redlock.ErrLockLost):
		e.Result = Lost
	case errors.Is(err, redlock.ErrOtherHolder):
		e.Result = Other
	case errors.Is(err, redlock.ErrContended):
		e.Result = Contended
	case errors.Is(err, redlock.ErrNoQuorum):
		e.Result = NoQuorum
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Result = Canceled
	default:
		e.Result = Unsure
	}
	if lockErr, ok := errors.AsType[*redlock.LockError](err); ok {
		e.By, e.ByMark = lockErr.HeldBy.Owner, lockErr.HeldBy.Mark
	}
}
