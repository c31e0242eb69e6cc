package redlock_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// What goes wrong with the line costs time at most.

// A processOf has clients of its own for the nodes, so that it can die.
type processOf struct {
	clients []*redis.Client
	locker  *redlock.Locker
}

func newProcess(t *testing.T, nodes []*node) *processOf {
	t.Helper()
	p := new(processOf)
	for _, n := range nodes {
		c := redis.NewClient(n.client.Options())
		t.Cleanup(func() { _ = c.Close() })
		p.clients = append(p.clients, c)
	}
	l, err := redlock.New(p.clients)
	require.NoError(t, err)
	p.locker = l
	return p
}

// die ends the connections of the process, and all that it would still do.
func (p *processOf) die() {
	for _, c := range p.clients {
		_ = c.Close()
	}
}

func TestWaitersThatHaveDiedHoldNobodyUp(t *testing.T) {
	for _, dead := range []int{1, 10, 40} {
		t.Run(fmt.Sprint(dead, " dead"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				k := lock(t, newLocker(t, nodes))
				ctx, cancel := context.WithCancel(t.Context())
				var all sync.WaitGroup
				var ghosts []*processOf
				for range dead {
					p := newProcess(t, nodes)
					ghosts = append(ghosts, p)
					all.Go(func() { _, _ = p.locker.Lock(ctx, "a", ttl, inTurn) })
					time.Sleep(5 * time.Millisecond)
				}
				var order turnLog
				for i := range 5 {
					l := newLocker(t, nodes)
					all.Go(func() { order.turn(t, l, i, 0) })
					time.Sleep(5 * time.Millisecond)
				}
				time.Sleep(time.Second)
				require.Equal(t, dead+5, waiting(t, nodes))
				for _, p := range ghosts {
					p.die()
				}
				cancel() // they cannot say so
				synctest.Wait()
				require.Equal(t, dead+5, waiting(t, nodes))
				start := time.Now()
				require.NoError(t, k.Unlock(t.Context()))
				all.Wait()
				require.Len(t, order.when, 5)
				assert.LessOrEqual(t, order.when[0].Sub(start), time.Second)
				if dead <= 10 {
					assert.True(t, slices.IsSorted(order.who), "%v", order.who)
					assert.LessOrEqual(t, order.when[0].Sub(start), 10*time.Millisecond, "nobody listens for them: they are passed over")
				}
				for _, p := range ghosts {
					require.NoError(t, p.locker.Shutdown(t.Context()))
				}
				time.Sleep(10 * time.Second)
				requireNoLine(t, nodes)
			})
		})
	}
}

// A mishearing client listens to another channel than the one it was asked to:
// every message is lost.
type mishearing struct{ *redis.Client }

func (m mishearing) Subscribe(ctx context.Context, _ ...string) *redis.PubSub {
	return m.Client.Subscribe(ctx, "elsewhere")
}

func TestWaitersWhoseMessagesAreLostPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lock(t, newLocker(t, nodes))
		var all sync.WaitGroup
		var order turnLog
		const turns = 10
		for i := range turns {
			var clients []mishearing
			for _, n := range nodes {
				clients = append(clients, mishearing{n.client})
			}
			l, err := redlock.New(clients)
			require.NoError(t, err)
			all.Go(func() { order.turn(t, l, i, 0) })
		}
		time.Sleep(time.Second)
		require.Equal(t, turns, waiting(t, nodes))
		start := time.Now()
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		assert.Len(t, order.who, turns)
		assert.LessOrEqual(t, time.Since(start), turns*500*time.Millisecond, "as without a line, or sooner")
		time.Sleep(10 * time.Second)
		requireNoLine(t, nodes)
	})
}

func TestACancelledWaiterLeavesTheLineAndPassesItsTurnOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lock(t, newLocker(t, nodes))
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 10 {
			l := newLocker(t, nodes)
			all.Go(func() {
				_, err := l.Lock(ctx, "a", ttl, inTurn)
				assert.ErrorIs(t, err, context.Canceled)
			})
			time.Sleep(5 * time.Millisecond)
		}
		var order turnLog
		l := newLocker(t, nodes)
		all.Go(func() { order.turn(t, l, 0, 0) })
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, 11, waiting(t, nodes))
		start := time.Now()
		cancel()
		synctest.Wait()
		assert.Equal(t, start, time.Now(), "they return at once")
		assert.Equal(t, 1, waiting(t, nodes))
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		assert.LessOrEqual(t, time.Since(start), 10*time.Millisecond)
		requireNoLine(t, nodes)
	})
}

func TestAWaiterThatIsCancelledWhenItIsCalledLetsTheNextOneGo(t *testing.T) {
	for i := range 25 {
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, 3)
			for _, n := range nodes {
				n.slow(time.Millisecond)
			}
			k := lock(t, newLocker(t, nodes))
			var all sync.WaitGroup
			ctx, cancel := context.WithCancel(t.Context())
			first, second := newLocker(t, nodes), newLocker(t, nodes)
			all.Go(func() {
				k, err := first.Lock(ctx, "a", ttl, inTurn)
				if err == nil { // it was quicker
					assert.NoError(t, k.Unlock(context.WithoutCancel(ctx)))
				}
			})
			time.Sleep(20 * time.Millisecond)
			var order turnLog
			all.Go(func() { order.turn(t, second, 0, 0) })
			time.Sleep(200 * time.Millisecond)
			require.Equal(t, 2, waiting(t, nodes))
			start := time.Now()
			time.AfterFunc(time.Duration(i)*200*time.Microsecond, cancel)
			require.NoError(t, k.Unlock(t.Context()))
			all.Wait()
			assert.LessOrEqual(t, time.Since(start), 60*time.Millisecond)
			requireNoLine(t, nodes)
		})
	}
}

func TestWaitersGoOnWithoutAGateThatIsAway(t *testing.T) {
	for name, end := range map[string]func(gate *node){
		"frozen":            func(gate *node) { gate.freeze() },
		"gone":              func(gate *node) { gate.stop() },
		"restarts empty":    func(gate *node) { gate.stop(); gate.restart() },
		"has lost its line": func(gate *node) { gate.Del(lineOfA) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				k := lock(t, newLocker(t, nodes))
				var all sync.WaitGroup
				var order turnLog
				const turns = 10
				for i := range turns {
					l := newProcess(t, nodes).locker
					all.Go(func() {
						order.turn(t, l, i, 5*time.Millisecond)
						assert.NoError(t, l.Shutdown(t.Context()))
					})
				}
				time.Sleep(200 * time.Millisecond)
				gate := gateOf(t, nodes)
				end(gate)
				start := time.Now()
				require.NoError(t, k.Unlock(t.Context()))
				require.True(t, poll(30*time.Second, func() bool { order.mu.Lock(); defer order.mu.Unlock(); return len(order.who) == turns }))
				t.Logf("%d turns took %v, the first came after %v", turns, order.when[turns-1].Sub(start), order.when[0].Sub(start))
				assert.LessOrEqual(t, order.when[0].Sub(start), 1100*time.Millisecond)
				gate.thaw()
				if name == "gone" {
					gate.restart()
				}
				all.Wait()
				time.Sleep(ttl)
				requireNoLine(t, nodes)
			})
		})
	}
}

func TestWrongDataBesideTheResourceDoesNoHarm(t *testing.T) {
	for name, spoil := range map[string]func(n *node) error{
		"a line of another type":        func(n *node) error { return n.Set(lineOfA, "text") },
		"a line of strangers":           func(n *node) error { _, err := n.ZAdd(lineOfA, 1, "stranger"); return err },
		"a reservation of another type": func(n *node) error { n.HSet(nextOfA, "a", "b"); return nil },
		"a reservation for ever":        func(n *node) error { return n.Set(nextOfA, "stranger") },
		"a reservation for long": func(n *node) error {
			err := n.Set(nextOfA, "stranger")
			n.SetTTL(nextOfA, time.Hour)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				for _, n := range nodes {
					require.NoError(t, spoil(n))
				}
				k := lock(t, newLocker(t, nodes))
				var all sync.WaitGroup
				var order turnLog
				for i := range 5 {
					l := newLocker(t, nodes)
					all.Go(func() { order.turn(t, l, i, 0) })
				}
				time.Sleep(200 * time.Millisecond)
				start := time.Now()
				require.NoError(t, k.Unlock(t.Context()))
				all.Wait()
				assert.LessOrEqual(t, time.Since(start), 2500*time.Millisecond)
				synctest.Wait()
				for _, n := range nodes {
					assert.False(t, n.Exists("a"))
				}
			})
		})
	}
}

func TestAMessageForNobodyIsAnsweredAndGarbageIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		k := lock(t, newLocker(t, nodes))
		l := newLocker(t, nodes)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := l.Lock(ctx, "a", ttl, inTurn)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		channels := listening(nodes)
		require.Len(t, channels, 1)
		self := channels[0][len("redlock:"):]
		// It still listens, and is called for a place that it had.
		_, err = nodes[0].ZAdd(lineOfA, 1, self)
		require.NoError(t, err)
		before := nodes[0].commands()
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		assert.False(t, nodes[0].Exists(nextOfA), "it gives its turn up at once")
		assert.Equal(t, before+2, nodes[0].commands())
		for _, text := range []string{"", "}", "a}", "\x00", "{}"} {
			nodes[0].Publish(channels[0], text)
		}
		synctest.Wait()
		requireNoLine(t, nodes)
	})
}

func TestThousandsOfLockersThatGiveUpLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lock(t, newLocker(t, nodes))
		var all sync.WaitGroup
		for i := range 1000 {
			l := newLocker(t, nodes)
			all.Go(func() {
				for n := range 2 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration((i*7919+n*331)%1000)*time.Millisecond)
					_, err := l.Lock(ctx, "a", ttl, inTurn)
					cancel()
					assert.ErrorIs(t, err, redlock.ErrNotAcquired)
				}
				assert.Zero(t, redlock.Lines(l))
			})
		}
		all.Wait()
		synctest.Wait()
		assert.Zero(t, waiting(t, nodes))
		time.Sleep(6 * time.Second)
		assert.Empty(t, listening(nodes), "connections that nobody needs are closed")
		require.NoError(t, k.Unlock(t.Context()))
		requireNoLine(t, nodes)
	})
}

func TestShutdownTurnsAwayLockersThatStandInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k, l := lock(t, newLocker(t, nodes)), newLocker(t, nodes)
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				_, err := l.Lock(t.Context(), []string{"a", "b", "a"}[i], ttl, inTurn)
				if i != 1 {
					assert.ErrorIs(t, err, redlock.ErrShutdown)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, 1, waiting(t, nodes))
		go func() {
			time.Sleep(time.Second)
			assert.NoError(t, k.Unlock(context.Background()))
		}()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, l.Shutdown(ctx), context.DeadlineExceeded, "b is held")
		all.Wait()
		assert.Equal(t, time.Millisecond, time.Since(start))
		assert.Zero(t, waiting(t, nodes))
		require.NoError(t, l.Shutdown(t.Context()))
		assert.Empty(t, listening(nodes))
	})
}
