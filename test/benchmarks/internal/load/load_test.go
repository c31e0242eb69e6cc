package load_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/test/benchmarks/internal/library"
	"github.com/b0401464/redlock/test/benchmarks/internal/load"
)

// A fake is a mutex that does what its functions do.
type fake struct{ lock, unlock func(context.Context) error }

func (f fake) Lock(ctx context.Context) error   { return f.lock(ctx) }
func (f fake) Unlock(ctx context.Context) error { return f.unlock(ctx) }
func (fake) Extend(context.Context) error       { return errors.ErrUnsupported }

func nothing(context.Context) error { return nil }

// local returns a mutex that really locks.
func local(mu *sync.Mutex) library.Mutex {
	return fake{
		func(context.Context) error { mu.Lock(); return nil },
		func(context.Context) error { mu.Unlock(); return nil },
	}
}

func TestOverlapsAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var section load.Section
		lawless := load.Worker{Mutex: load.Same(fake{nothing, nothing}), Section: &section, Hold: time.Millisecond}
		load.Run(time.Second, true, []load.Worker{lawless, lawless})
		assert.Positive(t, section.Overlaps())
	})
}

func TestALockThatHoldsHasNoOverlaps(t *testing.T) {
	var section load.Section
	var mu sync.Mutex
	worker := load.Worker{Mutex: load.Same(local(&mu)), Section: &section}
	r := load.Run(50*time.Millisecond, false, []load.Worker{worker, worker, worker})
	assert.Zero(t, section.Overlaps())
	all, most, fewest := r.Turns()
	assert.Positive(t, all)
	assert.Positive(t, most)
	assert.LessOrEqual(t, 3*fewest, all)
	assert.GreaterOrEqual(t, 3*most, all)
}

func TestEveryWorkerIsCountedAndEveryWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(d time.Duration) load.Worker {
			return load.Worker{
				Mutex:   load.Same(fake{func(context.Context) error { time.Sleep(d); return nil }, nothing}),
				Section: new(load.Section),
			}
		}
		r := load.Run(time.Second-1, false, []load.Worker{slow(100 * time.Millisecond), slow(250 * time.Millisecond)})
		all, most, fewest := r.Turns()
		assert.Equal(t, 14, all)
		assert.Equal(t, 10, most)
		assert.Equal(t, 4, fewest)
		assert.Equal(t, time.Second, r.Took)
		assert.InDelta(t, 14, r.Rate(), 0.001)
		waits := r.Waits()
		assert.Equal(t, 100*time.Millisecond, waits.P50)
		assert.Equal(t, 250*time.Millisecond, waits.P99)
		assert.Empty(t, r.Errors())
		part := r.Part(1, 2)
		all, _, _ = part.Turns()
		assert.Equal(t, 4, all)
	})
}

func TestAWaitThatTheEndCutsOffIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starving := fake{func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, nothing}
		r := load.Run(time.Second, true, []load.Worker{{Mutex: load.Same(starving), Section: new(load.Section)}})
		all, _, _ := r.Turns()
		assert.Zero(t, all)
		assert.Equal(t, time.Second, r.Waits().Max)
		assert.Zero(t, r.Waits().P99)
		assert.Empty(t, r.Errors(), "the end of the run is no error")
	})
}

func TestErrorsAreCountedByWhatTheySay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port := 0
		failing := func(context.Context) error {
			port++
			return errors.Join(errors.New("127.0.0.1:"+string(rune('1'+port%9))+" is away"), context.DeadlineExceeded)
		}
		r := load.Run(10*time.Millisecond-1, true, []load.Worker{
			{Mutex: load.Same(fake{failing, nothing}), Section: new(load.Section)},
			{Mutex: load.Same(fake{nothing, func(context.Context) error { return errors.New("was not ours") }}), Section: new(load.Section)},
		})
		assert.Len(t, r.Errors(), 2)
		assert.Equal(t, 10, r.Errors()["lock: #:# is away\ncontext deadline exceeded"])
		assert.Equal(t, 10, r.Errors()["unlock: was not ours"])
	})
}

func TestTheReleaseDoesNotDependOnTheEndOfTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended error
		r := load.Run(time.Millisecond, true, []load.Worker{{
			Mutex:   load.Same(fake{nothing, func(ctx context.Context) error { ended = ctx.Err(); return nil }}),
			Section: new(load.Section), Hold: time.Second,
		}})
		all, _, _ := r.Turns()
		assert.Equal(t, 1, all)
		assert.NoError(t, ended)
	})
}
