package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/b0401464/redlock"
)

// What must not be.
const (
	overlap     = "overlaps"
	lostUpdate  = "lost updates"
	lateContext = "contexts that outlived their lock"
	earlyLoss   = "locks lost before their time"
	badToken    = "tokens that did not grow"
)

// Figures are what a run has seen. They are safe for concurrent use until it is
// over.
type figures struct {
	length time.Duration
	seed   uint64
	begun  time.Time
	timers metronome

	mu         sync.Mutex
	stop       func()
	wrong      map[string]int
	texts      []string
	byResource map[string]int
	byUse      map[string]int
	faults     map[string]int
	errors     map[string]int
	nodeErrors map[string]int
	losses     int
	tokens     int
	ahead      int // of them, those that no clock has proposed
	limits     int
	latest     time.Duration // end of a context after its validity

	increments     int
	longestFault   time.Duration
	longestWait    time.Duration
	shutdown       time.Duration
	keysAtShutdown int
	emptyAfter     time.Duration
	keysLeft       int
	goroutines     string
}

func newFigures(length time.Duration, seed uint64, stop func()) *figures {
	return &figures{
		length: length, seed: seed, begun: time.Now(), stop: stop,
		wrong: make(map[string]int), byResource: make(map[string]int), byUse: make(map[string]int),
		faults: make(map[string]int), errors: make(map[string]int), nodeErrors: make(map[string]int),
	}
}

// at returns how long after the beginning of the run t is.
func (f *figures) at(t time.Time) time.Duration { return t.Sub(f.begun).Round(time.Microsecond) }

// violate notes what must not be, and ends the run: the log of the moments
// before tells most.
func (f *figures) violate(kind, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrong[kind]++
	f.texts = append(f.texts, fmt.Sprintf("%s, after %v: ", kind, f.at(time.Now()))+fmt.Sprintf(format, args...))
	f.stop()
}

// violations returns all that must not have been.
func (f *figures) violations() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.texts)
}

func (f *figures) entered(resource, use string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byResource[resource]++
	f.byUse[use]++
}

// issued counts the tokens, and those that no clock has proposed.
func (f *figures) issued(token int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens++
	if token > time.Now().UnixMicro() {
		f.ahead++
	}
}

func (f *figures) countTokens() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tokens
}

func (f *figures) injected(kind string, lasted time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[kind]++
	f.longestFault = max(f.longestFault, lasted)
}

// forgives reports whether a context may have ended so late by the lateness of
// timers on this machine alone.
func (f *figures) forgives(late time.Duration) bool {
	return late < 100*time.Millisecond+2*f.timers.lately()
}

// lasted notes that a context was alive until so long after the validity.
func (f *figures) lasted(who string, late time.Duration) {
	f.mu.Lock()
	f.latest = max(f.latest, late)
	f.mu.Unlock()
	if !f.forgives(late) {
		f.violate(lateContext, "%s, %v after it", who, late)
	}
}

// told notes that a holder was told of a loss, so long before the end of the
// validity.
func (f *figures) told(who string, cause error, early time.Duration) {
	f.mu.Lock()
	f.losses++
	f.mu.Unlock()
	f.checkEarly(who, cause, early)
}

// checkEarly checks that a loss did not come before the end of the validity: no
// node forgets. The slack is for the wall clock, which the lock goes by too.
func (f *figures) checkEarly(who string, loss error, early time.Duration) {
	if early > 5*time.Millisecond {
		f.violate(earlyLoss, "%s, %v before its end: %v", who, early, loss)
	}
}

func (f *figures) limited() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limits++
}

// failed counts what a call returned.
func (f *figures) failed(call string, err error) {
	if err == nil {
		return
	}
	kind := "other"
	if e, ok := errors.AsType[*redlock.LockError](err); ok {
		kind = e.ErrorType()
	} else if errors.Is(err, context.Canceled) {
		kind = "canceled"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors[call+" "+kind]++
}

func (f *figures) nodeFailed(_ context.Context, err *redlock.NodeError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodeErrors[nodeError(err)]++
}

// nodeError names what happened to a node call.
func nodeError(err *redlock.NodeError) string {
	switch {
	case errors.Is(err, io.EOF):
		return "connection closed"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	default:
		return err.ErrorType()
	}
}

// String returns the figures as a table.
func (f *figures) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) // a strings.Builder takes everything
	}
	row("run", "%v with seed %d", f.length, f.seed)
	row("sections entered", "%d: %s", total(f.byResource), list(f.byResource))
	row("by use", "%s", list(f.byUse))
	row("increments", "%d", f.increments)
	row("fencing tokens issued", "%d, %d of them ahead of the clocks", f.tokens, f.ahead)
	for _, kind := range []string{overlap, lostUpdate, lateContext, earlyLoss, badToken} {
		row(kind, "%d", f.wrong[kind])
	}
	row("faults injected", "%d: %s", total(f.faults), list(f.faults))
	row("longest fault", "%v", f.longestFault.Round(time.Millisecond))
	row("longest time without a grant", "%v", f.longestWait.Round(time.Millisecond))
	row("losses told to holders", "%d", f.losses)
	row("limits of automatic extension", "%d", f.limits)
	row("latest end of a context", "%v after its validity; other timers were up to %v late",
		f.latest.Round(time.Millisecond), f.timers.worst.Round(time.Millisecond))
	row("errors of calls", "%s", list(f.errors))
	row("errors of nodes", "%d: %s", total(f.nodeErrors), list(f.nodeErrors))
	row("Shutdown of all lockers", "%v", f.shutdown.Round(time.Millisecond))
	row("keys left then", "%d, looked at for %v", f.keysAtShutdown, f.emptyAfter.Round(time.Millisecond))
	row("keys left one TTL later", "%d", f.keysLeft)
	row("goroutines left", "%s", f.goroutines)
	_ = t.Flush()
	return b.String()
}

func total(counts map[string]int) int {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}

func list(counts map[string]int) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(all, ", ")
}
