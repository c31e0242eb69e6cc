package lock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// waysToWait are ways in which somebody waits in vain, with how much longer than the
// time it has it may take.
var waysToWait = map[string]struct {
	opts  []redlock.Option
	setUp func(t *testing.T, own, other *redlock.Locker, nodes []*rig.Node)
	more  time.Duration
}{
	"in line": {nil, func(t *testing.T, _, other *redlock.Locker, _ []*rig.Node) { t.Helper(); rig.Lock(t, other) }, 0},
	"polling": {[]redlock.Option{redlock.WithoutWaitingLine()}, func(t *testing.T, _, other *redlock.Locker, _ []*rig.Node) { t.Helper(); rig.Lock(t, other) }, 0},
	"behind a lock of its own Locker": {nil, func(t *testing.T, own, _ *redlock.Locker, _ []*rig.Node) {
		t.Helper()
		rig.Lock(t, own)
	}, 0},
	"behind another caller of its Locker": {nil, func(t *testing.T, own, other *redlock.Locker, _ []*rig.Node) {
		t.Helper()
		rig.Lock(t, other)
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		go func() { _, _ = own.Lock(ctx, "a", rig.TTL, rig.WaitForever) }()
		time.Sleep(50 * time.Millisecond)
	}, 0},
	"on nodes that are far away": {nil, func(t *testing.T, own, other *redlock.Locker, nodes []*rig.Node) {
		t.Helper()
		rig.Lock(t, other)
		defer rig.LockOnce(t, own, "far") // who has met them nearer asks SET first
		for _, n := range nodes {         // to make a connection takes longer than to use it
			var conns []*redis.Conn
			for range 4 {
				conns = append(conns, n.Client.Conn())
				require.NoError(t, conns[len(conns)-1].Ping(t.Context()).Err())
			}
			for _, c := range conns {
				require.NoError(t, c.Close())
			}
			n.Slow(80 * time.Millisecond)
		}
	}, 200 * time.Millisecond},
	"on nodes that refuse connections": {nil, func(_ *testing.T, _, _ *redlock.Locker, nodes []*rig.Node) {
		for _, n := range nodes {
			n.Stop()
		}
	}, time.Second},
	"on frozen nodes": {nil, func(t *testing.T, _, _ *redlock.Locker, nodes []*rig.Node) {
		t.Helper()
		for _, n := range nodes {
			n.Freeze()
			t.Cleanup(n.Thaw)
		}
	}, time.Second},
}

func TestLockWaitsForItsRetriesTimesTheirDelayInWhateverWay(t *testing.T) {
	for name, way := range waysToWait {
		for _, want := range []struct {
			retries int
			delay   time.Duration
			opts    []redlock.LockOption
		}{
			{10, 400 * time.Millisecond, nil},
			{2, 100 * time.Millisecond, []redlock.LockOption{redlock.WithRetry(2, 100*time.Millisecond)}},
			{2, 2 * time.Second, []redlock.LockOption{redlock.WithRetry(2, 2*time.Second)}},
		} {
			for _, several := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d times %v, several resources: %t", name, want.retries, want.delay, several), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						nodes := rig.New(t, 3)
						own, other := rig.NewLocker(t, nodes, way.opts...), rig.NewLocker(t, nodes)
						rig.WarmUp(t, own)
						way.setUp(t, own, other, nodes)
						start, resources := time.Now(), []string{"a"}
						if several {
							resources = append(resources, "b")
						}
						_, err := own.LockAll(t.Context(), resources, rig.TTL, want.opts...)
						took, bound := time.Since(start), time.Duration(want.retries)*want.delay
						e, ok := errors.AsType[*redlock.LockError](err)
						require.True(t, ok, "%v", err)
						assert.GreaterOrEqual(t, took, bound)
						assert.LessOrEqual(t, took, bound+way.more)
						assert.LessOrEqual(t, e.Attempts, want.retries+1)
						synctest.Wait()
					})
				})
			}
		}
	}
}

func TestMaxWaitIsWhatItIsWhateverStandsBesideIt(t *testing.T) {
	retry, maxWait := redlock.WithRetry(3, 100*time.Millisecond), redlock.WithMaxWait(700*time.Millisecond)
	for name, tt := range map[string]struct {
		opts []redlock.Option
		call []redlock.LockOption
	}{
		"alone":                        {nil, []redlock.LockOption{maxWait}},
		"after a retry":                {nil, []redlock.LockOption{retry, maxWait}},
		"before a retry":               {nil, []redlock.LockOption{maxWait, retry}},
		"in a call, the retry for New": {[]redlock.Option{retry}, []redlock.LockOption{maxWait}},
		"for New, the retry in a call": {[]redlock.Option{maxWait}, []redlock.LockOption{retry}},
		"for New, after a retry":       {[]redlock.Option{retry, maxWait}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				rig.Lock(t, rig.NewLocker(t, nodes))
				start := time.Now()
				_, err := rig.NewLocker(t, nodes, tt.opts...).Lock(t.Context(), "a", rig.TTL, tt.call...)
				require.ErrorIs(t, err, redlock.ErrContended)
				assert.Equal(t, 700*time.Millisecond, time.Since(start))
			})
		})
	}
}

func TestAWaiterInLineAsksAtAModerateRateWhateverItsDelay(t *testing.T) {
	for _, late := range []time.Duration{0, time.Millisecond} { // by which the gate is slower than the others
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 3)
			gate, others := rig.FindGate(t, nodes)
			gate.Slow(2*time.Millisecond + late)
			for _, n := range others {
				n.Slow(2 * time.Millisecond)
			}
			k, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
			require.NoError(t, err)
			synctest.Wait()
			time.Sleep(time.Second) // it is on the gate, too: else those who wait ask all nodes
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			l := rig.NewLocker(t, nodes)
			go func() {
				_, err := l.Lock(ctx, "a", rig.TTL, redlock.WithRetry(redlock.Forever, 0))
				assert.ErrorIs(t, err, redlock.ErrContended)
			}()
			time.Sleep(time.Second)
			before := rig.Sent(nodes)
			time.Sleep(10 * time.Second)
			assert.LessOrEqual(t, rig.Sent(nodes)-before, 100, "ten a second; the gate is late by %v", late)
			<-ctx.Done()
			synctest.Wait()
			require.NoError(t, k.Unlock(t.Context()))
		})
	}
}

func TestTheFirstInLineFindsTheEndOfAnotherLibrarysLockAsSoonAsItsDelaySays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		for range 50 {
			for _, n := range nodes {
				require.NoError(t, n.Set("a", "somebody"))
			}
			time.AfterFunc(30*time.Millisecond, func() {
				for _, n := range nodes {
					n.Del("a")
				}
			})
			start := time.Now()
			k := rig.Lock(t, l, redlock.WithRetry(redlock.Forever, 2*time.Millisecond))
			assert.LessOrEqual(t, time.Since(start), 40*time.Millisecond)
			require.NoError(t, k.Unlock(t.Context()))
		}
	})
}
