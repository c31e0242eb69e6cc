package contexts_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A lock that was lost is not told as if the caller had cancelled something: a server
// takes that for a client that has gone away.

func TestWithTellsTheEndOfItsLockAndNoCancellationWhenFnReturnsItsContextsError(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(t *testing.T, nodes []*rig.Node, lock *redlock.Lock)
		opt  redlock.LockOption
		want error
	}{
		"expired": {func(*testing.T, []*rig.Node, *redlock.Lock) {}, redlock.WithoutAutoExtend(), redlock.ErrLockLost},
		"lost": {func(t *testing.T, nodes []*rig.Node, lock *redlock.Lock) {
			t.Helper()
			synctest.Wait()
			nodes[0].Del("a")
			nodes[1].Del("a")
			require.ErrorIs(t, lock.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
		}, redlock.WithoutAutoExtend(), redlock.ErrLockLost},
		"at its limit": {func(*testing.T, []*rig.Node, *redlock.Lock) {}, redlock.WithAutoExtend(time.Second), redlock.ErrHoldLimit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				err := rig.NewLocker(t, nodes).With(t.Context(), "a", rig.TTL, func(ctx context.Context, lock *redlock.Lock) error {
					c.end(t, nodes, lock)
					<-ctx.Done()
					return ctx.Err()
				}, nil, c.opt)
				require.ErrorIs(t, err, c.want)
				rig.RequireNotCancelled(t, err)
				assert.ErrorContains(t, err, ": context canceled")
				assert.Equal(t, redlock.OpHold, asLockError(t, err).Op)
			})
		})
	}
}

// lose has fn called with a lock that has run out, and returns what With returns.
func lose(t *testing.T, fn func(ctx context.Context) error) error {
	t.Helper()
	l := rig.NewLocker(t, rig.New(t, 1))
	return l.With(t.Context(), "a", rig.TTL, func(ctx context.Context, _ *redlock.Lock) error {
		<-ctx.Done()
		return fn(ctx)
	}, nil)
}

func TestWhatFnReturnsOfALostLockMatchesAllElseThatItIsMadeOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := lose(t, func(ctx context.Context) error {
			return errors.Join(
				&url.Error{Op: "Get", URL: "http://ledger", Err: ctx.Err()},
				context.DeadlineExceeded, // a net.Error, too
				fmt.Errorf("charge: %w", &net.OpError{Op: "read", Err: io.EOF}),
			)
		})
		rig.RequireNotCancelled(t, err)
		require.ErrorIs(t, err, redlock.ErrLockLost)
		require.ErrorIs(t, err, io.EOF)
		e, ok := errors.AsType[*url.Error](err)
		require.True(t, ok)
		assert.Equal(t, "Get", e.Op)
		n := new(net.OpError)
		require.ErrorAs(t, err, &n)
		assert.Equal(t, "read", n.Op)
		u, ok := errors.AsType[net.Error](errors.Join(lose(t, func(context.Context) error { return context.DeadlineExceeded })))
		assert.False(t, ok, "%v", u)
		_, ok = errors.AsType[*net.AddrError](err)
		assert.False(t, ok)
	})
}

func TestTheCauseOfTheContextIsNotToldTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const end = `redlock: hold "a": lock lost: its TTL ran out`
		require.EqualError(t, lose(t, context.Cause), end)
		require.EqualError(t, lose(t, func(ctx context.Context) error { return fmt.Errorf("charge: %w", context.Cause(ctx)) }), "charge: "+end)
		require.EqualError(t, lose(t, func(context.Context) error { return rig.ErrBody }), end+": body failed")
	})
}

func TestWithTellsTheCallersCancellationOfALostLockToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rig.NewLocker(t, rig.New(t, 1))
		ctx, cancel := context.WithCancel(t.Context())
		err := l.With(ctx, "a", rig.TTL, func(ctx context.Context, _ *redlock.Lock) error {
			<-ctx.Done()
			cancel()
			return ctx.Err()
		}, nil)
		require.ErrorIs(t, err, redlock.ErrLockLost)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestALossThatEndsWithWithinWithIsNoCancellation(t *testing.T) {
	for name, lost := range map[string]map[string]time.Duration{
		"the outer lock": {"outer": time.Second, "inner": time.Hour},
		"the inner lock": {"outer": time.Hour, "inner": time.Second},
		"both":           {"outer": time.Second, "inner": time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := rig.NewLocker(t, rig.New(t, 1))
				var inner error
				err := l.With(t.Context(), "outer", lost["outer"], func(ctx context.Context, _ *redlock.Lock) error {
					inner = l.With(ctx, "inner", lost["inner"], func(ctx context.Context, _ *redlock.Lock) error {
						<-ctx.Done()
						time.Sleep(time.Second)
						return ctx.Err()
					}, nil)
					return inner
				}, nil)
				require.ErrorIs(t, err, redlock.ErrLockLost)
				rig.RequireNotCancelled(t, err)
				if name == "both" {
					rig.RequireNotCancelled(t, inner)
				}
			})
		})
	}
}

func TestACallUnderTheContextOfALostLockTellsNoCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		r := rig.NewRecorder()
		traced := rig.NewLocker(t, nodes, r.Option())
		theirs := rig.Lock(t, other)
		mine, err := l.Lock(t.Context(), "mine", rig.TTL)
		require.NoError(t, err)
		long, err := l.Lock(t.Context(), "long", time.Hour)
		require.NoError(t, err)
		held, cancel := mine.Context(t.Context())
		defer cancel()
		time.Sleep(time.Second)
		require.NoError(t, theirs.Extend(t.Context(), time.Hour))

		_, err = traced.Lock(held, "a", rig.TTL, redlock.WithMaxWait(time.Hour))
		require.ErrorIs(t, err, redlock.ErrLockLost, "that of its ctx")
		require.ErrorIs(t, err, redlock.ErrContended)
		rig.RequireNotCancelled(t, err)
		assert.Equal(t, redlock.OpLock, asLockError(t, err).Op)
		assert.Equal(t, "lock_lost", asLockError(t, err).ErrorType())

		err = long.Extend(held, time.Hour)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		require.NotErrorIs(t, err, redlock.ErrLockLost, "this one is not lost")
		rig.RequireNotCancelled(t, err)
		assert.ErrorContains(t, err, `"mine": lock lost`)
		assert.Equal(t, "no_quorum", asLockError(t, err).ErrorType())
		assert.True(t, long.Valid())

		for _, n := range nodes {
			n.Slow(50 * time.Millisecond)
		}
		require.NoError(t, long.Unlock(held), "it waits")
		synctest.Wait() // two of three are enough
		assert.False(t, nodes[0].Exists("long"))
		require.NoError(t, theirs.Unlock(t.Context()))
	})
}

// A lookout is a context that calls before when it is asked for its error, as if another
// goroutine did something at that moment.
type lookout struct {
	context.Context //nolint:containedctx // it is one
	before          func()
}

func (c *lookout) Err() error { c.before(); return c.Context.Err() }

func TestAnExtendUnderTheLocksOwnContextSaysThatTheLockIsOver(t *testing.T) {
	type end struct {
		end  func(k *redlock.Lock)
		want error
	}
	unlocked := end{func(k *redlock.Lock) { _ = k.Unlock(context.Background()) }, redlock.ErrUnlocked}
	expired := end{func(k *redlock.Lock) { time.Sleep(time.Until(k.Until())) }, redlock.ErrLockLost}
	requireOver := func(t *testing.T, err error, c end) {
		t.Helper()
		require.ErrorIs(t, err, c.want)
		require.NotErrorIs(t, err, redlock.ErrNoQuorum, "it is not valid until Until")
		rig.RequireNotCancelled(t, err)
	}
	for name, c := range map[string]end{"unlocked": unlocked, "expired": expired} {
		t.Run(name+" just when it begins", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := rig.Lock(t, rig.NewLocker(t, rig.New(t, 3)))
				held, cancel := k.Context(t.Context())
				defer cancel()
				var once sync.Once
				requireOver(t, k.Extend(&lookout{held, func() { once.Do(func() { c.end(k) }) }}, rig.TTL), c)
			})
		})
	}
	for name, c := range map[string]struct {
		end
		spoil func(n *rig.Node)
	}{
		"unlocked in a round":     {unlocked, (*rig.Node).Freeze},
		"expired in a round":      {expired, (*rig.Node).Freeze},
		"unlocked between rounds": {unlocked, func(n *rig.Node) { n.SetError("LOADING") }},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // the ends of the lock and of its context are told at the same instant
				synctest.Test(t, func(t *testing.T) {
					nodes := rig.New(t, 3)
					l := rig.NewLocker(t, nodes, redlock.WithRetry(100, time.Second), redlock.WithNodeTimeout(time.Minute))
					rig.WarmUp(t, l)
					k := rig.Lock(t, l)
					held, cancel := k.Context(t.Context())
					defer cancel()
					synctest.Wait()
					for _, n := range nodes {
						c.spoil(n)
					}
					go func() {
						time.Sleep(1500 * time.Millisecond)
						c.end.end(k)
					}()
					requireOver(t, k.Extend(held, rig.TTL), c.end)
					for _, n := range nodes {
						n.Thaw()
						n.SetError("")
					}
					time.Sleep(time.Minute)
				})
			}
		})
	}
}

func TestAnExtendUnderAContextThatEndsAtTheLimitIsNotCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k, held := rig.Keep(t, l, time.Minute, redlock.WithAutoExtend(time.Second))
		<-held.Done()
		err := k.Extend(held, time.Minute)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		rig.RequireNotCancelled(t, err)
		assert.Equal(t, 1, strings.Count(err.Error(), "limit of automatic extension"))
		require.NoError(t, k.Extend(t.Context(), time.Minute))
		require.NoError(t, k.Unlock(held))
	})
}
