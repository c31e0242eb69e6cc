package recipes_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/examples/recipes"
	"github.com/b0401464/redlock/redlocktest"
	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }

func TestTheHTTPRecipeTellsWhatBecameOfTheOrder(t *testing.T) {
	for name, c := range map[string]struct {
		ship func(ctx context.Context) error
		held bool
		down bool
		want int
	}{
		"shipped":                             {ship: func(context.Context) error { return nil }, want: http.StatusNoContent},
		"somebody else ships it":              {held: true, want: http.StatusConflict},
		"no majority":                         {down: true, want: http.StatusServiceUnavailable},
		"failed":                              {ship: func(context.Context) error { return rig.ErrBody }, want: http.StatusInternalServerError},
		"a lock that shipping needs is taken": {ship: func(context.Context) error { return redlock.ErrContended }, want: http.StatusInternalServerError},
		"shipping has an outage":              {ship: func(context.Context) error { return redlock.ErrNoQuorum }, want: http.StatusInternalServerError},
		"lost":                                {ship: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, want: http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				if c.held {
					require.NoError(t, rig.Err(rig.NewLocker(t, nodes).Lock(t.Context(), "order:", time.Minute)))
				}
				if c.down {
					nodes[0].Stop()
					nodes[1].Stop()
				}
				h := recipes.Ship(rig.NewLocker(t, nodes), func(ctx context.Context, _ string) error { return c.ship(ctx) })
				w := httptest.NewRecorder()
				h(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody))
				assert.Equal(t, c.want, w.Code)
			})
		})
	}
}

func TestTheHTTPRecipeAnswersNobodyWhoHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		require.NoError(t, rig.Err(rig.NewLocker(t, nodes).Lock(t.Context(), "order:", time.Minute)))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		w := httptest.NewRecorder()
		recipes.Ship(rig.NewLocker(t, nodes), nil)(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/", http.NoBody))
		assert.Empty(t, w.Body, "ErrContended is told, too")
	})
}

func TestAnErrorOfAnotherCallInFnComesOutOfWithAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.Lock(t, rig.NewLocker(t, nodes))
		var inner error
		err := l.Do(t.Context(), "b", rig.TTL, func(ctx context.Context) error {
			inner = l.Do(ctx, "a", rig.TTL, func(context.Context) error { return nil }, redlock.WithRetry(0, 0))
			return inner
		})
		require.ErrorIs(t, err, redlock.ErrContended, "although fn ran")
		assert.Same(t, inner, err)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, []string{"a"}, e.Resources)
	})
}

func TestWorkByHandTellsALossAsWithDoes(t *testing.T) {
	for name, fn := range map[string]func(ctx context.Context) error{
		"the work obeys its context": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"the work ignores it":        func(context.Context) error { time.Sleep(time.Minute); return nil },
		"the work fails":             func(ctx context.Context) error { <-ctx.Done(); return rig.ErrBody },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := rig.NewLocker(t, rig.New(t, 3))
				require.ErrorIs(t, recipes.ByHand(t.Context(), l, func(ctx context.Context, _ *redlock.Lock) error { return fn(ctx) }), redlock.ErrLockLost)
				require.ErrorIs(t, recipes.UnlessBusy(t.Context(), l, func(ctx context.Context, _ int) error { return fn(ctx) }), redlock.ErrLockLost)
			})
		})
	}
}

func TestWorkByHandThatIsDoneDoesNotFailWithItsRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		freeze := func() { nodes[0].Freeze(); nodes[1].Freeze() }
		require.NoError(t, recipes.UnlessBusy(t.Context(), l, func(context.Context, int) error { freeze(); return nil }))
		nodes[0].Thaw()
		nodes[1].Thaw()
		require.NoError(t, recipes.ByHand(t.Context(), l, func(context.Context, *redlock.Lock) error { freeze(); return nil }))
		nodes[0].Thaw()
		nodes[1].Thaw()
	})
}

func TestTheRecipeForWorkersStopsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		batches := 0
		err := recipes.ImportAll(ctx, rig.NewLocker(t, rig.New(t, 3)), make([]string, 5), func(context.Context, string) error {
			batches++ // and looks at no context
			cancel()
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 1, batches)
	})
}

func TestTheCronRecipeMakesOneReportATickAndNoneBesideAnother(t *testing.T) {
	// Short nights, as a lock is extended every few seconds: longer than the hour for which
	// a tick is taken all the same.
	const day = 3 * time.Hour
	takes := []time.Duration{time.Minute, day * 5 / 4, time.Minute, time.Minute} // the second one is made at the third tick, too
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		made, failed := make([]atomic.Int32, len(takes)), make([]atomic.Int32, len(takes))
		var now atomic.Int32
		var all sync.WaitGroup
		for host := range 3 {
			l := rig.NewLocker(t, nodes)
			for tick := range takes {
				all.Go(func() {
					time.Sleep(time.Duration(tick)*day + time.Duration(host)*20*time.Minute) // clocks differ
					err := recipes.Nightly(t.Context(), l, func(ctx context.Context) error {
						assert.EqualValues(t, 1, now.Add(1), "nobody else is at it")
						defer now.Add(-1)
						made[tick].Add(1)
						time.Sleep(takes[tick])
						return context.Cause(ctx)
					})
					if err != nil {
						assert.ErrorIs(t, err, redlock.ErrContended)
						failed[tick].Add(1)
					}
				})
			}
		}
		all.Wait()
		for tick, want := range []int32{1, 1, 0, 1} {
			assert.Equal(t, want, made[tick].Load(), tick)
			assert.Equal(t, 1-want, failed[tick].Load(), tick)
		}
	})
}

func TestTheImportIsRefusedWhileAnotherOneRuns(t *testing.T) {
	nodes := redlocktest.New(t, 3)
	nodes.Hold("import")
	locker := nodes.Locker(redlock.WithRetry(0, 0)) // a test need not wait

	err := recipes.ImportAll(t.Context(), locker, nil, nil)
	if !errors.Is(err, redlock.ErrContended) {
		t.Errorf("got %v, want ErrContended", err)
	}
}

func TestTheImportStopsWhenItsLockIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := redlocktest.New(t, 3)
		err := recipes.ImportAll(t.Context(), nodes.Locker(), []string{"a", "b"}, func(ctx context.Context, _ string) error {
			nodes.Lose(redlock.FromContext(ctx)) // another holder may have it from here on
			return ctx.Err()                     // still nil: the next extension finds it out
		})
		if !errors.Is(err, redlock.ErrLockLost) {
			t.Errorf("got %v, want ErrLockLost", err)
		}
	})
}

func TestTheImportStopsWhenItsLockRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := redlocktest.New(t, 3)
		began := time.Now()
		err := recipes.ImportAll(t.Context(), nodes.Locker(), []string{"a", "b"}, func(ctx context.Context, _ string) error {
			<-ctx.Done() // half a minute that takes no time
			return ctx.Err()
		})
		if !errors.Is(err, redlock.ErrLockLost) {
			t.Errorf("got %v, want ErrLockLost", err)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("stopped after %v, when another caller may have had the lock", took)
		}
	})
}

func TestAProgramIsReadyUnlessItsNodesAreUnfit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := redlocktest.New(t, 3)
		ready := func() error { return recipes.Ready(t.Context(), nodes.Locker()) }
		require.NoError(t, ready())
		nodes[:1].Down()
		require.NoError(t, ready(), "the others are a majority")
		nodes[:2].Down()
		require.ErrorContains(t, ready(), "not fit for locks:")
	})
}
