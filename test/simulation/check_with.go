package simulation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/b0401464/redlock"
)

// A within is one call of With whose function was called.
type within struct {
	hold  *hold
	ctx   context.Context //nolint:containedctx // that the function was given
	err   error           // that the function has returned
	ended error           // the cause by then, if the context had ended
	valid bool            // the lock, then
	from  time.Time       // when that was
	news  []error
}

// errWork is what a function may return.
var errWork = errors.New("the work has failed")

// leaves notes that the function returns err.
func (x *within) leaves(err error) error {
	if x.ctx.Err() != nil {
		x.ended = context.Cause(x.ctx)
	}
	x.err, x.valid, x.from = err, x.hold.lock.Valid(), time.Now()
	x.hold.unlock() // With does, when this returns
	return err
}

// judge checks what With has returned, and has told of the release.
func (x *within) judge(err, ctxErr error) {
	if x.hold == nil {
		return // the function was not called
	}
	w, h := x.hold.w, x.hold
	until := h.lock.Until()
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	wrong := func(text string) {
		w.violate("i", h.value.resource, x.from, now, "With of lock #%d returned %v, its function %v, its context had ended with %v: %s",
			h.value.number, err, x.err, x.ended, text)
	}
	over := err != x.err && (errors.Is(err, redlock.ErrLockLost) || errors.Is(err, redlock.ErrHoldLimit)) //nolint:errorlint // it is to be that very error
	switch {
	case !over && err != x.err: //nolint:errorlint // likewise
		wrong("want the function's error itself")
	case errors.Is(x.ended, redlock.ErrLockLost) && !errors.Is(err, redlock.ErrLockLost), errors.Is(x.ended, redlock.ErrHoldLimit) && !errors.Is(err, redlock.ErrHoldLimit):
		wrong("want the end of the lock")
	case over && errors.Is(context.Cause(x.ctx), redlock.ErrUnlocked):
		wrong("the lock has ended with this With")
	case over && errors.Is(x.err, errWork) && !errors.Is(err, errWork):
		wrong("want the function's error, too")
	case over && ctxErr == nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		wrong("the caller's context has not ended")
	case len(x.news) > 1:
		wrong("its handler was called more than once")
	case len(x.news) > 0 && (x.news[0] == nil || !x.valid && errors.Is(x.news[0], redlock.ErrLockLost)):
		wrong(fmt.Sprintf("it is no news that %v", x.news[0]))
	}
	if over && errors.Is(err, redlock.ErrLockLost) {
		h.hears(answer{call: byContext, from: x.from, to: now, err: redlock.ErrLockLost, until: until})
	}
	a := answer{call: byWith, from: x.from, to: now, until: until}
	switch {
	case len(x.news) > 0:
		a.err = x.news[0]
	case !x.valid: // what the release has found is no news then
		return
	}
	h.hears(a)
}
