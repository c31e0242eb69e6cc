package line_test

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
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

func TestShortWaitsOnASlowGateDoNotPileUp(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"with a line": nil, "without": {redlock.WithoutWaitingLine()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				gate, _ := rig.FindGate(t, nodes)
				l := rig.NewLocker(t, nodes, opts...)
				rig.WarmUp(t, l)
				_, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
				require.NoError(t, err)
				gate.Slow(500 * time.Millisecond) // it answers, within the node timeout
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				_, _ = l.Lock(ctx, "a", rig.TTL, rig.InTurn)
				cancel()
				for i := range 1000 {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
					_, err := l.Lock(ctx, "a", rig.TTL, rig.InTurn)
					cancel()
					require.Error(t, err)
					if i%250 == 249 {
						t.Logf("after %d: %d calls under way", i+1, seam.OpenCalls(l))
					}
				}
				assert.Less(t, seam.OpenCalls(l), 20)
				start := time.Now()
				require.NoError(t, l.Shutdown(t.Context()))
				t.Log("Shutdown took", time.Since(start))
			})
		})
	}
}

func TestNothingIsSentAfterShutdownHasReturned(t *testing.T) {
	rig.Long(t)
	for range 60 {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 1)
			holder := rig.NewLocker(t, nodes)
			l, err := redlock.New(rig.Clients(nodes))
			require.NoError(t, err)
			var all sync.WaitGroup
			for i := range 30 {
				resource := fmt.Sprint("r", i)
				k, err := holder.Lock(t.Context(), resource, rig.TTL)
				require.NoError(t, err)
				defer func() { _ = k.Unlock(t.Context()) }()
				all.Go(func() {
					_, err := l.Lock(t.Context(), resource, rig.TTL, rig.InTurn)
					assert.ErrorIs(t, err, redlock.ErrShutdown)
				})
			}
			time.Sleep(time.Second)
			require.NoError(t, l.Shutdown(t.Context()))
			open, sent := seam.OpenCalls(l), nodes[0].Commands()
			all.Wait()
			synctest.Wait()
			require.Zero(t, open)
			require.Equal(t, sent, nodes[0].Commands())
		})
	}
}

func TestAWaiterThatIsCancelledWhileItBeginsToListenSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		_ = rig.Lock(t, rig.NewLocker(t, nodes))
		l := rig.NewLocker(t, nodes)
		for _, n := range nodes {
			n.Slow(20 * time.Millisecond)
		}
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		time.Sleep(200 * time.Millisecond)
		before := commandsOf(nodes)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err = l.Lock(ctx, "a", rig.TTL, rig.InTurn)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(time.Second)
		assert.Equal(t, before, commandsOf(nodes), "its context had ended before it asked")
	})
}

func TestCallersBehindTheHeadThatLeaveDoNotMakeItAskAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		_ = rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithNodeTimeout(time.Second))
		l := rig.NewLocker(t, nodes)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { _, _ = l.Lock(ctx, "a", rig.TTL, rig.InTurn) })
		time.Sleep(500 * time.Millisecond)
		for i := range 1000 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, time.Duration(i+1)*time.Millisecond)
				defer cancel()
				_, _ = l.Lock(ctx, "a", rig.TTL, rig.InTurn)
			})
		}
		before := commandsOf(nodes)
		time.Sleep(1100 * time.Millisecond)
		assert.Less(t, commandsOf(nodes)-before, 100, "one waits, and no lock has ended")
		cancel()
		all.Wait()
	})
}

func TestAnEmptyMessageIsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		l := rig.NewLocker(t, nodes)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := l.Lock(ctx, "a", rig.TTL, rig.InTurn)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		before := nodes[0].Commands()
		nodes[0].Publish(rig.Listening(nodes)[0], "")
		synctest.Wait()
		assert.Equal(t, before, nodes[0].Commands(), "a Locker sends itself one to stop listening; there is no resource without a name")
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestCallersOfManyLockersThatGiveUpInEveryWayLeaveNothingBehind(t *testing.T) {
	const lockers, callers = 40, 50
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		var all sync.WaitGroup
		var mu sync.Mutex
		gaveUp, got := 0, 0
		var every []*redlock.Locker
		for i := range lockers {
			l := rig.NewLocker(t, nodes)
			every = append(every, l)
			for j := range callers {
				n := i*callers + j
				patience := time.Duration(n*7919%2000) * time.Millisecond
				all.Go(func() {
					ctx, lock, opts := t.Context(), l.Lock, []redlock.LockOption{rig.InTurn}
					switch n % 5 {
					case 0, 1:
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, patience)
						defer cancel()
					case 2, 3:
						opts = append(opts, redlock.WithMaxWait(patience+time.Millisecond))
					default:
						opts = []redlock.LockOption{redlock.WithRetry(3, patience/3), redlock.WithJitter(0)}
						if j == 4 {
							lock = l.TryLock
						}
					}
					k, err := lock(ctx, "a", 100*time.Millisecond, opts...)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						gaveUp++
						return
					}
					got++
					if n%2 == 0 { // others never unlock
						all.Go(func() {
							time.Sleep(5 * time.Millisecond)
							assert.NoError(t, k.Unlock(context.Background()))
						})
					}
				})
			}
		}
		all.Wait()
		synctest.Wait()
		t.Logf("%d got it, %d gave up", got, gaveUp)
		assert.Positive(t, got)
		assert.Greater(t, gaveUp, lockers*callers/2)
		time.Sleep(6 * time.Second) // the last lock has run out, and nobody needs a message
		assert.Zero(t, rig.Waiting(t, nodes), "the line would expire after ten seconds only")
		assert.Empty(t, rig.Listening(nodes))
		for _, l := range every {
			assert.Zero(t, seam.Queues(l))
			assert.Zero(t, seam.OpenCalls(l))
		}
		rig.RequireNoLine(t, nodes)
	})
}
