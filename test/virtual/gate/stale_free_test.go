package gate_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// besideAStaleKey returns a Locker whose gate for "a" has a key of nobody, and the other nodes.
func besideAStaleKey(t *testing.T, opts ...redlock.Option) (l *redlock.Locker, others []*rig.Node) {
	t.Helper()
	nodes := rig.New(t, 3)
	gate, others := rig.FindGate(t, nodes)
	l = rig.NewLocker(t, nodes, opts...)
	rig.WarmUp(t, l)
	staleKeyAtTheGate(t, gate)
	return l, others
}

// Nobody else wants the resource; one node of three has a key that a lost release
// has left. Contract 10: after Unlock has returned nil, it can be locked at once.
func TestAFreeResourceIsNotContendedAfterAnUnlockWhereTheGateKeepsAStaleKey(t *testing.T) {
	for name, opts := range rig.LineAndNone {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, others := besideAStaleKey(t, opts...)
				for _, n := range others {
					n.Slow(time.Millisecond) // the gate answers first
				}
				failed := 0
				for range 20 {
					k, err := l.TryLock(t.Context(), "a", rig.TTL)
					if err != nil {
						failed++
						time.Sleep(10 * time.Millisecond)
						continue
					}
					require.NoError(t, k.Unlock(t.Context()))
					time.Sleep(10 * time.Millisecond)
				}
				assert.Zero(t, failed, "of 20 TryLocks of a resource that nobody has or wants")
			})
		})
	}
}

// What the gate names could be somebody who asks: so who can wait does so, until it has been
// there for longer than an attempt takes.
func TestAStaleKeyAtTheGateCostsThoseWhoWaitTwoSecondsTogether(t *testing.T) {
	for name, opts := range rig.LineAndNone {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, _ := besideAStaleKey(t, opts...)
				start := time.Now()
				for range 20 {
					k, err := l.Lock(t.Context(), "a", rig.TTL)
					require.NoError(t, err)
					require.NoError(t, k.Unlock(t.Context()))
					time.Sleep(10 * time.Millisecond)
				}
				assert.Less(t, time.Since(start)-200*time.Millisecond, 2*time.Second, "of 20 Locks of a resource that nobody has or wants")
			})
		})
	}
}

// The same, and the stale key is the Locker's own: the gate hung when it unlocked.
func TestAnUnlockThatTheGateMissedDoesNotRefuseTheSameLocker(t *testing.T) {
	for name, opts := range rig.LineAndNone {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				gate, others := rig.FindGate(t, nodes)
				l := rig.NewLocker(t, nodes, opts...)
				rig.WarmUp(t, l)
				for _, n := range others {
					n.Slow(time.Millisecond)
				}
				k, err := l.TryLock(t.Context(), "a", time.Hour)
				require.NoError(t, err)
				gate.Stop()
				require.NoError(t, k.Unlock(t.Context()))
				time.Sleep(30 * time.Second)
				gate.Unreachable(false) // back, with its data
				require.True(t, gate.Exists("a"))
				failed := 0
				for range 20 {
					k, err := l.TryLock(t.Context(), "a", rig.TTL)
					if err != nil {
						failed++
						time.Sleep(10 * time.Millisecond)
						continue
					}
					require.NoError(t, k.Unlock(t.Context()))
					time.Sleep(10 * time.Millisecond)
				}
				assert.Zero(t, failed, "of 20 TryLocks by the Locker that had it last")
			})
		})
	}
}

// What a Locker remembers of many resources is bounded; what one knows that waits is
// not forgotten.
func TestAStaleKeyAtTheGateIsLookedIntoHoweverManyResourcesAreContended(t *testing.T) {
	rig.Long(t)
	for name, opts := range map[string][]redlock.Option{"with a line": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				gate, _ := rig.FindGate(t, nodes)
				l := rig.NewLocker(t, nodes, opts...)
				rig.WarmUp(t, l)
				ctx, cancel := context.WithCancel(t.Context())
				var all sync.WaitGroup
				for i := range 300 {
					name := fmt.Sprint("busy", i)
					for _, n := range nodes {
						require.NoError(t, n.Set(name, "somebody"))
						n.SetTTL(name, time.Hour)
					}
					all.Go(func() { _, _ = l.Lock(ctx, name, rig.TTL, rig.InTurn) })
				}
				for _, n := range nodes {
					require.NoError(t, n.Set("a", "somebody"))
					n.SetTTL("a", 2*time.Second)
				}
				time.AfterFunc(time.Second, func() { staleKeyAtTheGate(t, gate) })
				start := time.Now()
				k, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(5*time.Second))
				t.Log("waited for", time.Since(start))
				assert.NoError(t, err, "a majority has been free for 28 s")
				cancel()
				all.Wait()
				_ = k.Unlock(t.Context())
			})
		})
	}
}

// The first try on a quiet resource is one round: nobody else has it or wants it.
func TestAStaleKeyOnOneNodeDoesNotDoubleTheRoundTripsOfALock(t *testing.T) {
	took := map[string]time.Duration{}
	for name, opts := range rig.LineAndNone {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 3)
			_, others := rig.FindGate(t, nodes)
			l := rig.NewLocker(t, nodes, opts...)
			rig.WarmUp(t, l)
			staleKeyAtTheGate(t, others[0]) // not at the gate
			for _, n := range nodes {
				n.Slow(10 * time.Millisecond)
			}
			others[0].Slow(9 * time.Millisecond)
			for range 20 {
				start := time.Now()
				k, err := l.Lock(t.Context(), "a", rig.TTL)
				took[name] += time.Since(start)
				require.NoError(t, err)
				require.NoError(t, k.Unlock(t.Context()))
			}
		})
	}
	t.Log("20 locks of a resource that nobody wants took", took)
	assert.Less(t, took["with a line"], took["without"]*3/2)
}
