package line_test

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
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

// What goes wrong with the line costs time at most.

func TestWaitersThatHaveDiedHoldNobodyUp(t *testing.T) {
	for _, dead := range []int{1, 10, 40} {
		t.Run(fmt.Sprint(dead, " dead"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				k := rig.Lock(t, rig.NewLocker(t, nodes))
				ctx, cancel := context.WithCancel(t.Context())
				var all sync.WaitGroup
				var ghosts []*rig.Process
				for range dead {
					p := rig.NewProcess(t, nodes)
					ghosts = append(ghosts, p)
					all.Go(func() { _, _ = p.Locker.Lock(ctx, "a", rig.TTL, rig.InTurn) })
					time.Sleep(5 * time.Millisecond)
				}
				var order turnLog
				for i := range 5 {
					l := rig.NewLocker(t, nodes)
					all.Go(func() { order.turn(t, l, i, 0) })
					time.Sleep(5 * time.Millisecond)
				}
				time.Sleep(time.Second)
				require.Equal(t, dead+5, rig.Waiting(t, nodes))
				for _, p := range ghosts {
					p.Die()
				}
				cancel() // they cannot say so
				synctest.Wait()
				require.Equal(t, dead+5, rig.Waiting(t, nodes))
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
					require.NoError(t, p.Locker.Shutdown(t.Context()))
				}
				time.Sleep(10 * time.Second)
				rig.RequireNoLine(t, nodes)
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
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		var all sync.WaitGroup
		var order turnLog
		const turns = 10
		for i := range turns {
			var clients []mishearing
			for _, n := range nodes {
				clients = append(clients, mishearing{n.Client})
			}
			l, err := redlock.New(clients)
			require.NoError(t, err)
			all.Go(func() { order.turn(t, l, i, 0) })
		}
		time.Sleep(time.Second)
		require.Equal(t, turns, rig.Waiting(t, nodes))
		start := time.Now()
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		assert.Len(t, order.who, turns)
		assert.LessOrEqual(t, time.Since(start), turns*500*time.Millisecond, "as without a line, or sooner")
		time.Sleep(10 * time.Second)
		rig.RequireNoLine(t, nodes)
	})
}

func TestACancelledWaiterLeavesTheLineAndPassesItsTurnOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 10 {
			l := rig.NewLocker(t, nodes)
			all.Go(func() {
				_, err := l.Lock(ctx, "a", rig.TTL, rig.InTurn)
				assert.ErrorIs(t, err, context.Canceled)
			})
			time.Sleep(5 * time.Millisecond)
		}
		var order turnLog
		l := rig.NewLocker(t, nodes)
		all.Go(func() { order.turn(t, l, 0, 0) })
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, 11, rig.Waiting(t, nodes))
		start := time.Now()
		cancel()
		synctest.Wait()
		assert.Equal(t, start, time.Now(), "they return at once")
		assert.Equal(t, 1, rig.Waiting(t, nodes))
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		assert.LessOrEqual(t, time.Since(start), 10*time.Millisecond)
		rig.RequireNoLine(t, nodes)
	})
}

func TestAWaiterThatIsCancelledWhenItIsCalledLetsTheNextOneGo(t *testing.T) {
	for i := range 25 {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 3)
			for _, n := range nodes {
				n.Slow(time.Millisecond)
			}
			k := rig.Lock(t, rig.NewLocker(t, nodes))
			var all sync.WaitGroup
			ctx, cancel := context.WithCancel(t.Context())
			first, second := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
			all.Go(func() {
				k, err := first.Lock(ctx, "a", rig.TTL, rig.InTurn)
				if err == nil { // it was quicker
					assert.NoError(t, k.Unlock(context.WithoutCancel(ctx)))
				}
			})
			time.Sleep(20 * time.Millisecond)
			var order turnLog
			all.Go(func() { order.turn(t, second, 0, 0) })
			time.Sleep(200 * time.Millisecond)
			require.Equal(t, 2, rig.Waiting(t, nodes))
			start := time.Now()
			time.AfterFunc(time.Duration(i)*200*time.Microsecond, cancel)
			require.NoError(t, k.Unlock(t.Context()))
			all.Wait()
			assert.LessOrEqual(t, time.Since(start), 60*time.Millisecond)
			rig.RequireNoLine(t, nodes)
		})
	}
}

func TestWaitersGoOnWithoutAGateThatIsAway(t *testing.T) {
	for name, end := range map[string]func(gate *rig.Node){
		"frozen":            func(gate *rig.Node) { gate.Freeze() },
		"gone":              func(gate *rig.Node) { gate.Stop() },
		"restarts empty":    func(gate *rig.Node) { gate.Stop(); gate.Restart() },
		"has lost its line": func(gate *rig.Node) { gate.Del(rig.LineOfA) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				k := rig.Lock(t, rig.NewLocker(t, nodes))
				var all sync.WaitGroup
				var order turnLog
				const turns = 10
				for i := range turns {
					l := rig.NewProcess(t, nodes).Locker
					all.Go(func() {
						order.turn(t, l, i, 5*time.Millisecond)
						assert.NoError(t, l.Shutdown(t.Context()))
					})
				}
				time.Sleep(200 * time.Millisecond)
				gate := rig.GateOf(t, nodes)
				end(gate)
				start := time.Now()
				require.NoError(t, k.Unlock(t.Context()))
				require.True(t, rig.Poll(30*time.Second, func() bool { order.mu.Lock(); defer order.mu.Unlock(); return len(order.who) == turns }))
				t.Logf("%d turns took %v, the first came after %v", turns, order.when[turns-1].Sub(start), order.when[0].Sub(start))
				assert.LessOrEqual(t, order.when[0].Sub(start), 1100*time.Millisecond)
				gate.Thaw()
				if name == "gone" {
					gate.Restart()
				}
				all.Wait()
				time.Sleep(rig.TTL)
				rig.RequireNoLine(t, nodes)
			})
		})
	}
}

func TestWrongDataBesideTheResourceDoesNoHarm(t *testing.T) {
	for name, spoil := range map[string]func(n *rig.Node) error{
		"a line of another type":        func(n *rig.Node) error { return n.Set(rig.LineOfA, "text") },
		"a line of strangers":           func(n *rig.Node) error { _, err := n.ZAdd(rig.LineOfA, 1, "stranger"); return err },
		"a reservation of another type": func(n *rig.Node) error { n.HSet(rig.NextOfA, "a", "b"); return nil },
		"a reservation for ever":        func(n *rig.Node) error { return n.Set(rig.NextOfA, "stranger") },
		"a reservation for long": func(n *rig.Node) error {
			err := n.Set(rig.NextOfA, "stranger")
			n.SetTTL(rig.NextOfA, time.Hour)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				for _, n := range nodes {
					require.NoError(t, spoil(n))
				}
				k := rig.Lock(t, rig.NewLocker(t, nodes))
				var all sync.WaitGroup
				var order turnLog
				for i := range 5 {
					l := rig.NewLocker(t, nodes)
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
		nodes := rig.New(t, 1)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		l := rig.NewLocker(t, nodes)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := l.Lock(ctx, "a", rig.TTL, rig.InTurn)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		channels := rig.Listening(nodes)
		require.Len(t, channels, 1)
		self := channels[0][len("redlock:"):]
		// It still listens, and is called for a place that it had.
		_, err = nodes[0].ZAdd(rig.LineOfA, 1, self)
		require.NoError(t, err)
		before := nodes[0].Commands()
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		assert.False(t, nodes[0].Exists(rig.NextOfA), "it gives its turn up at once")
		assert.Equal(t, before+2, nodes[0].Commands())
		for _, text := range []string{"", "}", "a}", "\x00", "{}"} {
			nodes[0].Publish(channels[0], text)
		}
		synctest.Wait()
		rig.RequireNoLine(t, nodes)
	})
}

func TestThousandsOfLockersThatGiveUpLeaveNothingBehind(t *testing.T) {
	rig.Long(t)
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		var all sync.WaitGroup
		for i := range 1000 {
			l := rig.NewLocker(t, nodes)
			all.Go(func() {
				for n := range 2 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration((i*7919+n*331)%1000)*time.Millisecond)
					_, err := l.Lock(ctx, "a", rig.TTL, rig.InTurn)
					cancel()
					assert.Error(t, err)
				}
				assert.Zero(t, seam.Queues(l))
			})
		}
		all.Wait()
		synctest.Wait()
		assert.Zero(t, rig.Waiting(t, nodes))
		time.Sleep(6 * time.Second)
		assert.Empty(t, rig.Listening(nodes), "connections that nobody needs are closed")
		require.NoError(t, k.Unlock(t.Context()))
		rig.RequireNoLine(t, nodes)
	})
}

func TestShutdownTurnsAwayLockersThatStandInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, l := rig.Lock(t, rig.NewLocker(t, nodes)), rig.NewLocker(t, nodes)
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				_, err := l.Lock(t.Context(), []string{"a", "b", "a"}[i], rig.TTL, rig.InTurn)
				if i != 1 {
					assert.ErrorIs(t, err, redlock.ErrShutdown)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, 1, rig.Waiting(t, nodes))
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
		assert.Zero(t, rig.Waiting(t, nodes))
		require.NoError(t, l.Shutdown(t.Context()))
		assert.Empty(t, rig.Listening(nodes))
	})
}
