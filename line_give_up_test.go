package redlock_test

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
)

func TestShortWaitsOnASlowGateDoNotPileUp(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"with a line": nil, "without": {redlock.WithoutWaitingLine()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				gate, _ := findGate(t, nodes)
				l := newLocker(t, nodes, opts...)
				warmUp(t, l)
				_, err := newLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
				require.NoError(t, err)
				gate.slow(500 * time.Millisecond) // it answers, within the node timeout
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				_, _ = l.Lock(ctx, "a", ttl, inTurn)
				cancel()
				for i := range 1000 {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
					_, err := l.Lock(ctx, "a", ttl, inTurn)
					cancel()
					require.Error(t, err)
					if i%250 == 249 {
						t.Logf("after %d: %d calls under way", i+1, redlock.OpenCalls(l))
					}
				}
				assert.Less(t, redlock.OpenCalls(l), 20)
				start := time.Now()
				require.NoError(t, l.Shutdown(t.Context()))
				t.Log("Shutdown took", time.Since(start))
			})
		})
	}
}

func TestNothingIsSentAfterShutdownHasReturned(t *testing.T) {
	for range 60 {
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, 1)
			holder := newLocker(t, nodes)
			l, err := redlock.New(clients(nodes))
			require.NoError(t, err)
			var all sync.WaitGroup
			for i := range 30 {
				resource := fmt.Sprint("r", i)
				k, err := holder.Lock(t.Context(), resource, ttl)
				require.NoError(t, err)
				defer func() { _ = k.Unlock(t.Context()) }()
				all.Go(func() {
					_, err := l.Lock(t.Context(), resource, ttl, inTurn)
					assert.ErrorIs(t, err, redlock.ErrShutdown)
				})
			}
			time.Sleep(time.Second)
			require.NoError(t, l.Shutdown(t.Context()))
			open, sent := redlock.OpenCalls(l), nodes[0].commands()
			all.Wait()
			synctest.Wait()
			require.Zero(t, open)
			require.Equal(t, sent, nodes[0].commands())
		})
	}
}

func TestAWaiterThatIsCancelledWhileItBeginsToListenSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		_ = lock(t, newLocker(t, nodes))
		l := newLocker(t, nodes)
		for _, n := range nodes {
			n.slow(20 * time.Millisecond)
		}
		_, err := l.TryLock(t.Context(), "a", ttl)
		require.ErrorIs(t, err, redlock.ErrContended)
		time.Sleep(200 * time.Millisecond)
		before := commandsOf(nodes)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err = l.Lock(ctx, "a", ttl, inTurn)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(time.Second)
		assert.Equal(t, before, commandsOf(nodes), "its context had ended before it asked")
	})
}

func TestCallersBehindTheHeadThatLeaveDoNotMakeItAskAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		_ = lock(t, newLocker(t, nodes), redlock.WithNodeTimeout(time.Second))
		l := newLocker(t, nodes)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { _, _ = l.Lock(ctx, "a", ttl, inTurn) })
		time.Sleep(500 * time.Millisecond)
		for i := range 1000 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, time.Duration(i+1)*time.Millisecond)
				defer cancel()
				_, _ = l.Lock(ctx, "a", ttl, inTurn)
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
		nodes := newNodes(t, 1)
		k := lock(t, newLocker(t, nodes))
		l := newLocker(t, nodes)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := l.Lock(ctx, "a", ttl, inTurn)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		before := nodes[0].commands()
		nodes[0].Publish(listening(nodes)[0], "")
		synctest.Wait()
		assert.Equal(t, before, nodes[0].commands(), "a Locker sends itself one to stop listening; there is no resource without a name")
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestCallersOfManyLockersThatGiveUpInEveryWayLeaveNothingBehind(t *testing.T) {
	const lockers, callers = 40, 50
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		var all sync.WaitGroup
		var mu sync.Mutex
		gaveUp, got := 0, 0
		var every []*redlock.Locker
		for i := range lockers {
			l := newLocker(t, nodes)
			every = append(every, l)
			for j := range callers {
				n := i*callers + j
				patience := time.Duration(n*7919%2000) * time.Millisecond
				all.Go(func() {
					ctx, lock, opts := t.Context(), l.Lock, []redlock.LockOption{inTurn}
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
						assert.ErrorIs(t, err, redlock.ErrNotAcquired)
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
		assert.Zero(t, waiting(t, nodes), "the line would expire after ten seconds only")
		assert.Empty(t, listening(nodes))
		for _, l := range every {
			assert.Zero(t, redlock.Lines(l))
			assert.Zero(t, redlock.OpenCalls(l))
		}
		requireNoLine(t, nodes)
	})
}
