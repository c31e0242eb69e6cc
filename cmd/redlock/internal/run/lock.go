package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/cmd/redlock/internal/nodes"
)

const (
	pollEvery = 400 * time.Millisecond // where there is no line to wait in
	reachFor  = 3 * time.Second        // for which nodes are tried that cannot be reached
	unlockFor = time.Second            // for which a release is waited for
	tidyFor   = 5 * time.Second        // for which what is under way then goes on

	keepTokens = 30 * 24 * time.Hour // after the last use of a key; then clocks make up for it
)

// A holder takes the lock of a job.
type holder struct {
	job    *Job
	locker *redlock.Locker
	close  func()
	failed atomic.Pointer[redlock.NodeError] // the last one
}

func newHolder(j *Job) (*holder, error) {
	clients, closeAll, err := nodes.Open(j.Nodes)
	if err != nil {
		return nil, err
	}
	h := &holder{job: j, close: closeAll}
	h.locker, err = redlock.New(clients, append(j.Options(), redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
		h.failed.Store(err)
	}))...)
	if err != nil {
		closeAll()
		return nil, err
	}
	return h, nil
}

// Options returns what a job asks of its Locker.
func (j *Job) Options() []redlock.Option {
	opts := []redlock.Option{redlock.WithOwner(j.Owner)}
	if j.Quarantine > 0 {
		opts = append(opts, redlock.WithRestartQuarantine(j.Quarantine))
	}
	return opts
}

// acquire waits for the lock as the job says. Where the wait has no end, nodes that cannot be
// reached at its beginning are an error all the same, and those in quarantine are once they
// have had the time for it.
func (h *holder) acquire(ctx context.Context) (*redlock.Lock, error) {
	begun, wait := h.job.Since, h.job.Wait
	if wait > 0 {
		wait -= min(max(time.Since(begun), 0), wait/2) // what it took to get here
		return h.lock(ctx, redlock.WithRetry(redlock.Forever, pollEvery), redlock.WithMaxWait(max(wait, time.Millisecond)))
	}
	lock, err := h.lock(ctx, redlock.WithRetry(0, 0))
	if wait == 0 {
		return lock, err
	}
	for errors.Is(err, redlock.ErrNoQuorum) && ctx.Err() == nil && time.Since(begun) < h.patience(err) {
		pause, cancel := context.WithTimeout(ctx, pollEvery)
		<-pause.Done()
		cancel()
		lock, err = h.lock(ctx, redlock.WithRetry(0, 0))
	}
	if !errors.Is(err, redlock.ErrContended) {
		return lock, err
	}
	return h.lock(ctx, redlock.WithRetry(redlock.Forever, pollEvery))
}

// patience returns for how long nodes are tried that have failed so.
func (h *holder) patience(err error) time.Duration {
	if e, ok := errors.AsType[*redlock.LockError](err); ok && slices.ContainsFunc(e.Nodes, inQuarantine) {
		return h.job.Quarantine + reachFor
	}
	return reachFor
}

func inQuarantine(err *redlock.NodeError) bool { return err.ErrorType() == "QUARANTINE" }

func (h *holder) lock(ctx context.Context, opts ...redlock.LockOption) (*redlock.Lock, error) {
	j := h.job
	opts = append(opts, redlock.WithAutoExtend(j.Limit))
	if j.Token {
		opts = append(opts, redlock.WithFencing(max(keepTokens, 2*j.TTL)))
	}
	if len(j.Keys) == 1 {
		return h.locker.Lock(ctx, j.Keys[0], j.TTL, opts...)
	}
	return h.locker.LockAll(ctx, j.Keys, j.TTL, opts...)
}

// release unlocks and reports whether the lock had been lost before. The text says what is
// left on the nodes.
func (h *holder) release(lock *redlock.Lock) (lost bool, text string) {
	lost = !lock.Valid()
	ctx, cancel := context.WithTimeout(context.Background(), unlockFor)
	defer cancel()
	switch err := lock.Unlock(ctx); {
	case errors.Is(err, redlock.ErrLockLost):
		return true, oneLine(err)
	case err != nil:
		return lost, fmt.Sprintf("%s (it ends by itself within %v)", oneLine(err), h.job.TTL)
	}
	return lost, ""
}

// after returns the outcome of a run whose lock was released, with what that has told.
func (o Outcome) after(j *Job, lost bool, text string) Outcome {
	switch {
	case o.Kind != Done:
		return o
	case lost && j.OnLost != Ignore:
		return Outcome{Kind: Lost, Text: "the lock was lost while the command ran"}
	case !lost:
		o.Text = text
	}
	return o
}

// tidy waits for what is still under way on the nodes, which the outcome does not depend on.
func (h *holder) tidy(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	_ = h.locker.Shutdown(ctx) // what is left ends with its TTL
}

// briefly is how long a run that fails may be late for the sake of a tidy end.
func (j *Job) briefly() time.Duration {
	if j.Wait > 0 {
		return min(j.Wait/50, 100*time.Millisecond)
	}
	return 100 * time.Millisecond
}

// outcome returns how a run ends whose lock was not granted.
func outcome(err error) Outcome {
	o := Outcome{Kind: Failed, Text: oneLine(err)}
	switch {
	case errors.Is(err, redlock.ErrInvalidArgument):
		o.Kind = Usage
	case errors.Is(err, context.Canceled):
		o.Kind, o.Text = Interrupted, ""
	case errors.Is(err, redlock.ErrNoQuorum):
		o.Kind = NoQuorum
	case errors.Is(err, redlock.ErrContended):
		o.Kind = Contended
	}
	return o
}

// why says why a lock is over, or why its command has to end before it is.
func (h *holder) why(cause error) string {
	if cause != nil {
		return oneLine(cause)
	}
	text := "the lock could not be extended"
	if err := h.failed.Load(); err != nil {
		text += ": " + oneLine(err)
	}
	return text
}

// Words returns what an error says to users of the command: without the name that every line
// begins with, and with flags for options.
func Words(err error) string {
	text := strings.TrimPrefix(err.Error(), "redlock: ")
	text = strings.TrimPrefix(text, "invalid argument: ")
	return strings.ReplaceAll(text, "WithRestartQuarantine", "--quarantine")
}

// oneLine returns that without line breaks.
func oneLine(err error) string { return strings.Join(strings.Fields(Words(err)), " ") }

// environment returns that of the command: with the lock in it, and with none of a lock that
// we run under.
func environment(environ []string, lock *redlock.Lock) []string {
	var env []string
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		if name != "REDLOCK_TOKEN" && name != "REDLOCK_RESOURCE" && name != "REDLOCK_MARK" {
			env = append(env, e)
		}
	}
	env = append(env, "REDLOCK_RESOURCE="+strings.Join(lock.Resources(), "\n"), "REDLOCK_MARK="+lock.Mark())
	if token := lock.Token(); token != 0 {
		env = append(env, fmt.Sprint("REDLOCK_TOKEN=", token))
	}
	return env
}
