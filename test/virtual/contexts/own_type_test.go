package contexts_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// The end of a lock runs no code of the program's: contexts of its own types, from which it
// derives those of a lock, may block, panic or exit.

// harms is what the Value of a context of the program's may do.
var harms = map[string]func(){
	"blocks":       func() { select {} },
	"panics":       func() { panic("a context that is used after its request") },
	"calls Goexit": runtime.Goexit,
}

// takeAmong takes a context from k that is derived from parent, and others that are not.
func takeAmong(t *testing.T, k *redlock.Lock, parent *rig.UserContext) (all []context.Context) {
	t.Helper()
	for range 8 {
		ctx, _ := k.Context(t.Context()) // ends with the lock
		all = append(all, ctx)
	}
	ctx, _ := k.Context(parent) // likewise
	return append(all, ctx)
}

// alive returns how many contexts have not ended.
func alive(all []context.Context) (n int) {
	for _, ctx := range all {
		if !isDone(ctx) {
			n++
		}
	}
	return n
}

func TestContextsOfALockEndOnTimeWhateverOneOfTheProgramsTypeDoes(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, k *redlock.Lock){
		"at the end of the validity": func(_ *testing.T, k *redlock.Lock) { time.Sleep(time.Until(k.Until())) },
		"at Unlock":                  func(t *testing.T, k *redlock.Lock) { t.Helper(); require.NoError(t, k.Unlock(t.Context())) },
		"when it is lost": func(t *testing.T, k *redlock.Lock) {
			t.Helper()
			require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
		},
	} {
		for harm, then := range harms {
			t.Run(name+" one "+harm, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes, m := rig.New(t, 3), rig.NewMeter()
					l := rig.NewLocker(t, nodes, m.Option())
					k := rig.Lock(t, l)
					base, cancel := context.WithCancel(t.Context())
					defer cancel()
					parent := &rig.UserContext{Context: base}
					all := takeAmong(t, k, parent)
					parent.OnValue(then)
					if name == "when it is lost" {
						nodes[0].Del("a")
						nodes[1].Del("a")
					}
					end(t, k)
					synctest.Wait()
					assert.Zero(t, alive(all))
					rig.RequireUsable(t, l, nodes...)
					assert.Equal(t, map[string]int64{"": 0}, m.Values(t, "redlock.lock.active", rig.ByResult))
				})
			})
		}
	}
}

func TestContextsEndAtTheLimitAndBeforeTheNextHolderWhateverOneOfTheProgramsTypeDoes(t *testing.T) {
	for harm, then := range harms {
		t.Run(harm, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes)
				k, err := l.Lock(t.Context(), "a", 3*time.Second, redlock.WithAutoExtend(time.Second))
				require.NoError(t, err)
				base, cancel := context.WithCancel(t.Context())
				defer cancel()
				parent := &rig.UserContext{Context: base}
				all := takeAmong(t, k, parent)
				parent.OnValue(then)
				time.Sleep(time.Second)
				synctest.Wait()
				assert.Zero(t, alive(all))
				require.NoError(t, k.Unlock(t.Context()))
				rig.RequireUsable(t, l, nodes...)
			})
		})
	}
}

func TestWithReleasesWhateverAContextOfTheProgramsTypeDoes(t *testing.T) {
	for harm, then := range harms {
		t.Run(harm, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes)
				base, cancel := context.WithCancel(t.Context())
				defer cancel()
				parent := &rig.UserContext{Context: base}
				require.NoError(t, l.With(t.Context(), "a", rig.TTL, func(_ context.Context, k *redlock.Lock) error {
					_, _ = k.Context(parent) // ends with the lock
					parent.OnValue(then)
					return nil
				}, nil))
				rig.RequireUsable(t, l, nodes...)
			})
		})
	}
}

// An ownDone is a context of the program's type that has a Done channel of its own.
type ownDone struct {
	context.Context //nolint:containedctx // it is one
	done            chan struct{}
}

func (c *ownDone) Done() <-chan struct{} { return c.done }

func (c *ownDone) Err() error {
	if isDone(c) {
		return context.DeadlineExceeded
	}
	return nil
}

// The goroutine that waits for such a parent lasts no longer than the lock, or than its
// context is in use.
func TestAContextEndsWithAParentOfTheProgramsType(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rig.NewLocker(t, rig.New(t, 1))
		k := rig.Lock(t, l)
		parent := &ownDone{t.Context(), make(chan struct{})}
		synctest.Wait()
		before := rig.Goroutines()
		_, cancel := k.Context(parent)
		assert.Greater(t, rig.Goroutines(), before)
		cancel()
		synctest.Wait()
		assert.Equal(t, before, rig.Goroutines())

		held, _ := k.Context(parent) // ends with its parent
		close(parent.done)
		<-held.Done()
		require.ErrorIs(t, held.Err(), context.DeadlineExceeded)
		require.True(t, k.Valid())

		held, _ = k.Context(&ownDone{t.Context(), make(chan struct{})}) // ends with the lock
		require.NoError(t, k.Unlock(t.Context()))
		require.ErrorIs(t, context.Cause(held), redlock.ErrUnlocked)
	})
}

func TestAContextHasTheValuesOfItsParentAndAsksWhenItIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		k := rig.Lock(t, rig.NewLocker(t, rig.New(t, 1)))
		parent := &rig.UserContext{Context: context.WithValue(t.Context(), key{}, "value")}
		held, cancel := k.Context(parent)
		defer cancel()
		asked := 0
		parent.OnValue(func() { asked++ })
		derived, cancelDerived := context.WithCancel(held)
		cancelDerived()
		require.NoError(t, k.Unlock(t.Context()))
		cancel()
		assert.Zero(t, asked)
		assert.Equal(t, "value", derived.Value(key{}))
		assert.Equal(t, "value", held.Value(key{}))
		assert.Equal(t, 2, asked)
	})
}
