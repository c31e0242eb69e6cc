package line_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// refuseToSubscribe has the nodes refuse SUBSCRIBE, as a proxy, a renamed command
// or an ACL does.
func refuseToSubscribe(nodes []*rig.Node, with string) {
	for _, n := range nodes {
		n.Server().SetPreHook(func(p *server.Peer, cmd string, _ ...string) bool {
			if slices.Contains([]string{"SUBSCRIBE", "subscribe"}, cmd) {
				p.WriteError(with)
				return true
			}
			return false
		})
	}
}

// Without a line calls poll by the retry schedule.
func TestAWaiterThatCannotListenPollsByTheRetrySchedule(t *testing.T) {
	for name, with := range map[string]string{
		"unknown command": "ERR unknown command 'subscribe'",
		"forbidden":       "NOPERM this user has no permissions to access one of the channels used as arguments",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				gate, _ := rig.FindGate(t, nodes)
				refuseToSubscribe(nodes, with)
				l := rig.NewLocker(t, nodes)
				rig.WarmUp(t, l)
				_, err := rig.NewLocker(t, nodes, redlock.WithoutWaitingLine()).Lock(t.Context(), "a", time.Hour)
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
				defer cancel()
				attempts := 0
				_, err = l.Lock(ctx, "a", rig.TTL, redlock.WithRetry(redlock.Forever, 5*time.Second), redlock.WithJitter(0))
				if e, ok := errors.AsType[*redlock.LockError](err); ok {
					attempts = e.Attempts
				}
				t.Log("attempts in 150 s with a retry delay of 5 s:", attempts, "commands at the gate:", gate.Commands())
				assert.Less(t, attempts, 60, "the schedule makes 30")
			})
		})
	}
}

// A retry costs at least the attempt that it makes.
func TestRetriesWithoutADelayDoNotRunOutInNoTime(t *testing.T) {
	for name, opts := range rig.LineAndNone {
		for where, setUp := range map[string]func(own, other *redlock.Locker) (holder *redlock.Locker, before int){
			"held by the same Locker": func(own, _ *redlock.Locker) (*redlock.Locker, int) { return own, 0 },
			"held by another one":     func(_, other *redlock.Locker) (*redlock.Locker, int) { return other, 0 },
			"one more before it":      func(_, other *redlock.Locker) (*redlock.Locker, int) { return other, 1 },
		} {
			t.Run(name+", "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes := rig.New(t, 3)
					l, other := rig.NewLocker(t, nodes, opts...), rig.NewLocker(t, nodes, opts...)
					holder, before := setUp(l, other)
					rig.WarmUp(t, other)
					rig.WarmUp(t, l)
					for _, n := range nodes {
						n.Slow(time.Millisecond)
					}
					k := rig.Lock(t, holder)
					var all sync.WaitGroup
					for range before {
						first := rig.NewLocker(t, nodes, opts...)
						all.Go(func() { new(turnLog).turn(t, first, 0, 0) })
						time.Sleep(20 * time.Millisecond)
					}
					time.AfterFunc(50*time.Millisecond, func() { assert.NoError(t, k.Unlock(t.Context())) })
					start := time.Now()
					k2, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(1000, 0))
					assert.NoError(t, err, "gave up after %v; 1000 retries of 1 ms take 1 s", time.Since(start))
					time.Sleep(time.Second)
					_ = k2.Unlock(t.Context())
					all.Wait()
				})
			})
		}
	}
}

func TestNoAttemptIsToldOfWhereNothingWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		_ = rig.Lock(t, rig.NewLocker(t, nodes))
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		synctest.Wait()
		before := 0
		for _, n := range nodes {
			n.Slow(10 * time.Millisecond)
			before += n.Commands()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
		defer cancel()
		_, err = l.Lock(ctx, "a", rig.TTL)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		time.Sleep(time.Second)
		after := 0
		for _, n := range nodes {
			after += n.Commands()
		}
		require.Equal(t, before, after)
		assert.Zero(t, e.Attempts, "0 if nothing was sent: %v", err)
	})
}
