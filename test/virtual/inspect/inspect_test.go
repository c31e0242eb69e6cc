package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

// look returns what l tells of "a".
func look(t *testing.T, l *redlock.Locker) redlock.State {
	t.Helper()
	s, err := l.Inspect(t.Context(), "a")
	require.NoError(t, err)
	return s
}

func TestInspectTellsWhoHoldsIt(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"by itself": nil, "in batches": {redlock.WithAutoPipeline()}, "without a line": {redlock.WithoutWaitingLine()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				taken := time.Now()
				k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithOwner("billing 7"), redlock.WithFencing(time.Hour))
				time.Sleep(3 * time.Second)
				s := look(t, rig.NewLocker(t, nodes, opts...))
				holder := redlock.Holder{Mark: k.Mark(), Owner: "billing 7", Since: s.Holder.Since}
				assert.Equal(t, redlock.VerdictHeld, s.Verdict)
				assert.Equal(t, "a", s.Resource)
				assert.Equal(t, time.Now(), s.At)
				assert.Equal(t, holder, s.Holder)
				assert.True(t, s.Holder.Since.Equal(taken))
				assert.Equal(t, rig.TTL-3*time.Second, s.Remaining)
				assert.Equal(t, k.Token(), s.Token)
				assert.Empty(t, s.Waiting)
				require.Len(t, s.Nodes, 3)
				for i, n := range s.Nodes {
					want := redlock.NodeState{
						Node: i + 1, Addr: fmt.Sprintf("127.0.0.%d:6379", i+1),
						Holder: holder, Remaining: rig.TTL - 3*time.Second, Token: k.Token(),
					}
					assert.Equal(t, want, n)
				}
			})
		})
	}
}

func TestInspectTellsOfAFreeResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		s := look(t, rig.NewLocker(t, nodes))
		assert.Equal(t, redlock.VerdictFree, s.Verdict)
		assert.Zero(t, s.Holder)
		assert.Zero(t, s.Remaining)
		assert.Zero(t, s.Token)
		assert.Positive(t, s.Gate)
		for _, n := range s.Nodes {
			assert.Zero(t, n.Holder)
			assert.NoError(t, n.Err)
			assert.NoError(t, n.PartErr)
		}
	})
}

// Whatever a node is asked only reads, and is one round trip.
func TestInspectChangesNothingAndTakesOneRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithFencing(time.Hour))
		end := rig.WaitBehind(t, nodes, 3)
		defer end()
		l := rig.NewLocker(t, nodes)
		look(t, l) // makes the connections
		var mu sync.Mutex
		var sent []string
		for _, n := range nodes {
			n.Slow(10 * time.Millisecond)
			n.Server().SetPreHook(func(_ *server.Peer, cmd string, args ...string) bool {
				mu.Lock()
				defer mu.Unlock()
				sent = append(sent, strings.ToLower(cmd)+" "+args[0])
				return false
			})
		}
		before := dump(t, nodes)
		start := time.Now()
		look(t, l)
		assert.Equal(t, 10*time.Millisecond, time.Since(start))
		assert.Equal(t, before, dump(t, nodes))
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(sent)
		want := []string{"get a", "get {a}:redlock:next", "get {a}:redlock:token", "pttl a", "zrange {a}:redlock:line"}
		assert.Equal(t, want, slices.Compact(sent))
		assert.Len(t, sent, 3*len(want))
	})
}

// dump returns all that the nodes hold, and until when.
func dump(t *testing.T, nodes []*rig.Node) (all []string) {
	t.Helper()
	for i, n := range nodes {
		for _, key := range n.Keys() {
			text := ""
			if n.Type(key) == "string" {
				text, _ = n.Get(key)
			} else {
				members, _ := n.SortedSet(key)
				text = fmt.Sprint(members)
			}
			all = append(all, fmt.Sprint(i, key, text, time.Now().Add(n.TTL(key))))
		}
	}
	return all
}

func TestInspectTellsWhoWaitsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		began := time.Now()
		for _, owner := range []string{"web 1", "", "web 2"} {
			var opts []redlock.Option
			if owner != "" {
				opts = append(opts, redlock.WithOwner(owner))
			}
			l, err := redlock.New(rig.NewProcess(t, nodes).Clients, opts...)
			require.NoError(t, err)
			all.Go(func() {
				k, err := l.Lock(ctx, "a", rig.TTL, rig.InTurn)
				if err == nil {
					<-ctx.Done()
					assert.NoError(t, k.Unlock(context.WithoutCancel(ctx)))
				}
				assert.NoError(t, l.Shutdown(context.WithoutCancel(ctx)))
			})
			time.Sleep(100 * time.Millisecond)
		}
		for name, opts := range rig.LineAndNone {
			s := look(t, rig.NewLocker(t, nodes, opts...))
			assert.Equal(t, rig.GateOf(t, nodes), nodes[s.Gate-1], name)
			require.Len(t, s.Waiting, 3, name)
			assert.Equal(t, []string{"web 1", "", "web 2"}, []string{s.Waiting[0].Owner, s.Waiting[1].Owner, s.Waiting[2].Owner})
			for i, w := range s.Waiting {
				assert.Regexp(t, "^[0-9a-f]{8}$", w.Mark)
				assert.WithinDuration(t, began.Add(time.Duration(i)*100*time.Millisecond), w.Since, 50*time.Millisecond)
				assert.False(t, w.Called)
			}
			for i, n := range s.Nodes {
				assert.Equal(t, i == s.Gate-1, n.Waiting == 3)
			}
		}
		require.NoError(t, k.Unlock(t.Context()))
		time.Sleep(100 * time.Millisecond)
		s := look(t, rig.NewLocker(t, nodes))
		assert.Equal(t, redlock.VerdictHeld, s.Verdict)
		assert.Equal(t, "web 1", s.Holder.Owner)
		assert.Len(t, s.Waiting, 2)
		cancel()
		all.Wait()
	})
}

func TestOfALongLineTheFirstThousandAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		for i := range 1500 {
			_, err := nodes[0].ZAdd(rig.LineOfA, float64(i+1), fmt.Sprintf("%016x", i))
			require.NoError(t, err)
		}
		s := look(t, rig.NewLocker(t, nodes))
		assert.Len(t, s.Waiting, 1000)
		assert.Equal(t, time.UnixMicro(1), s.Waiting[0].Since)
		assert.Equal(t, 1000, s.Nodes[0].Waiting)
	})
}

func TestInspectTellsWhoHasBeenCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		dying, err := redlock.New(rig.NewProcess(t, nodes).Clients, redlock.WithOwner("slow"))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = dying.Lock(ctx, "a", rig.TTL, rig.InTurn)
		}()
		time.Sleep(100 * time.Millisecond)
		gate := rig.GateOf(t, nodes)
		id, err := gate.ZMembers(rig.LineOfA)
		require.NoError(t, err)
		cancel()
		<-done
		require.NoError(t, dying.Shutdown(t.Context()))
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		// It has been called, and has not come yet.
		require.NoError(t, gate.Set("a", "redlock:next"))
		require.NoError(t, gate.Set(rig.NextOfA, id[0]))
		for _, key := range []string{"a", rig.NextOfA} {
			gate.SetTTL(key, 500*time.Millisecond)
		}
		s := look(t, rig.NewLocker(t, nodes))
		assert.Equal(t, redlock.VerdictFree, s.Verdict)
		assert.Zero(t, s.Holder)
		require.Len(t, s.Waiting, 1)
		assert.Equal(t, "slow", s.Waiting[0].Owner)
		assert.True(t, s.Waiting[0].Called)
		assert.Zero(t, s.Waiting[0].Since)
		assert.True(t, s.Nodes[s.Gate-1].Kept)
		assert.Contains(t, s.String(), "free, and kept for the next one in line")
		time.Sleep(time.Second)
	})
}

func TestANodeThatDoesNotAnswerIsToldOfWithinTheNodeTimeout(t *testing.T) {
	for name, tt := range map[string]struct {
		opts    []redlock.Option
		timeout time.Duration
	}{
		"by default":    {nil, time.Second},
		"as New was":    {[]redlock.Option{redlock.WithNodeTimeout(300 * time.Millisecond)}, 300 * time.Millisecond},
		"in any manner": {[]redlock.Option{redlock.WithAutoPipeline()}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithOwner("billing"))
				nodes[1].Freeze()
				l := rig.NewLocker(t, nodes, tt.opts...)
				start := time.Now()
				s := look(t, l)
				assert.Equal(t, tt.timeout, time.Since(start))
				assert.Equal(t, redlock.VerdictHeld, s.Verdict, "the others are a majority")
				assert.Equal(t, k.Mark(), s.Holder.Mark)
				require.Error(t, s.Nodes[1].Err)
				assert.Zero(t, s.Nodes[1].Holder)
				e, ok := errors.AsType[*redlock.NodeError](s.Nodes[1].Err)
				require.True(t, ok)
				assert.Equal(t, redlock.OpInspect, e.Op)
				assert.Equal(t, 2, e.Node)
				assert.Equal(t, "no_answer", e.ErrorType())
				assert.Equal(t, fmt.Sprintf("redlock: node 2 (127.0.0.2:6379): inspect: no answer within %v", tt.timeout), e.Error())

				nodes[2].Stop()
				nodes[2].Restart() // empty
				s = look(t, l)
				assert.Equal(t, redlock.VerdictUnknown, s.Verdict)
				assert.Equal(t, k.Mark(), s.Holder.Mark, "who may have it")
				nodes[0].Stop()
				s = look(t, l)
				assert.Equal(t, redlock.VerdictUnknown, s.Verdict)
				assert.Zero(t, s.Holder)
				assert.Error(t, s.Nodes[0].Err)
				nodes[1].Thaw()
			})
		})
	}
}

func TestInspectEndsWithItsContextAndTellsWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		nodes[0].Freeze()
		l := rig.NewLocker(t, nodes)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		s, err := l.Inspect(ctx, "a")
		assert.Equal(t, 100*time.Millisecond, time.Since(start))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		rig.RequireNoOtherKind(t, err, context.DeadlineExceeded)
		assert.Equal(t, k.Mark(), s.Holder.Mark)
		before := seam.OpenCalls(l)
		s, err = l.Inspect(ctx, "a")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Zero(t, s)
		assert.Equal(t, before, seam.OpenCalls(l), "nothing is sent")
		nodes[0].Thaw()
	})
}

func TestInspectRefusesWhatCannotBeInspected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rig.NewLocker(t, rig.New(t, 1))
		for name, err := range map[string]error{
			"no resource": rig.Err(l.Inspect(t.Context(), "")),
			"no context":  rig.Err(l.Inspect(nil, "a")), //nolint:staticcheck // on purpose
			"zero Locker": rig.Err(new(redlock.Locker).Inspect(t.Context(), "a")),
			"nil Locker":  rig.Err((*redlock.Locker)(nil).Inspect(t.Context(), "a")),
		} {
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, name)
		}
		require.NoError(t, l.Shutdown(t.Context()))
		_, err := l.Inspect(t.Context(), "a")
		require.ErrorIs(t, err, redlock.ErrShutdown)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, redlock.OpInspect, e.Op)
		assert.EqualError(t, err, `redlock: inspect "a": locker is shut down`)
	})
}

func TestShutdownWaitsForReadsThatHangAndTheyAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithNodeTimeout(10*time.Millisecond))
		nodes[2].Freeze()
		for range 50 { // go-redis waits for longer than that
			s := look(t, l)
			assert.Equal(t, redlock.VerdictFree, s.Verdict)
			assert.Error(t, s.Nodes[2].Err)
		}
		synctest.Wait()
		assert.Equal(t, 16, seam.OpenCalls(l))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, l.Shutdown(ctx), context.DeadlineExceeded)
		nodes[2].Thaw()
		require.NoError(t, l.Shutdown(t.Context()))
		assert.Zero(t, seam.OpenCalls(l))
	})
}

func TestWhatIsNoLockIsToldAsTheNodeTellsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		for _, n := range nodes {
			_, err := n.Push("a", "x")
			require.NoError(t, err)
		}
		s := look(t, rig.NewLocker(t, nodes))
		assert.Equal(t, redlock.VerdictUnknown, s.Verdict)
		for _, n := range s.Nodes {
			assert.ErrorContains(t, n.Err, "WRONGTYPE")
		}
		for _, n := range nodes {
			n.FlushAll()
			require.NoError(t, n.Set("a", "data of somebody"))
			require.NoError(t, n.Set("{a}:redlock:token", "x"))
			_, err := n.Push(rig.LineOfA, "x")
			require.NoError(t, err)
		}
		s = look(t, rig.NewLocker(t, nodes))
		assert.Equal(t, redlock.VerdictHeld, s.Verdict)
		assert.Equal(t, time.Duration(redlock.Forever), s.Remaining)
		assert.Empty(t, s.Holder.Owner)
		assert.Contains(t, s.String(), `"a": held by an unnamed holder, mark `+s.Holder.Mark+", never free by itself as its key has no expiry\n")
		assert.NotContains(t, s.String(), "data of")
		for _, n := range s.Nodes {
			assert.NoError(t, n.Err)
			assert.ErrorContains(t, n.PartErr, "the fencing counter is not a number")
		}
	})
}

func TestAResourceWithoutATagIsInspectedWithoutALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a}b", rig.TTL)
		require.NoError(t, err)
		synctest.Wait()
		s, err := rig.NewLocker(t, nodes).Inspect(t.Context(), "a}b")
		require.NoError(t, err)
		assert.Equal(t, redlock.VerdictHeld, s.Verdict)
		assert.Equal(t, k.Mark(), s.Holder.Mark)
		assert.Zero(t, s.Gate)
	})
}

func TestClientsOfAnyKindCanBeInspected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithOwner("billing"))
		custom := func(n *rig.Node) redlock.Client {
			return rig.CustomClient{Do: func(ctx context.Context, cmd redis.Cmder) error { return n.Client.Process(ctx, cmd) }}
		}
		l, err := redlock.New([]redlock.Client{custom(nodes[0]), custom(nodes[1]), nodes[2].Client})
		require.NoError(t, err)
		s := look(t, l)
		assert.Equal(t, redlock.VerdictHeld, s.Verdict)
		assert.Equal(t, k.Mark(), s.Holder.Mark)
		for _, n := range s.Nodes {
			assert.NoError(t, n.Err)
			assert.NoError(t, n.PartErr)
		}
		require.NoError(t, l.Shutdown(t.Context()))

		panics := rig.CustomClient{Do: func(context.Context, redis.Cmder) error { panic("on purpose") }}
		fails := rig.CustomClient{Do: func(context.Context, redis.Cmder) error { return errors.New("no way") }}
		l, err = redlock.New([]redlock.Client{panics, fails, new(rig.Quitter), rig.Stub{}, rig.Stub{Reply: "text"}, rig.Stub{Reply: int64(1)}, rig.Stub{Reply: []any{nil, 1}}})
		require.NoError(t, err)
		s = look(t, l)
		assert.Equal(t, redlock.VerdictUnknown, s.Verdict)
		for i, text := range []string{"on purpose", "no way", "did not return", "no reply was set", "unexpected reply", "unexpected reply", "unexpected reply"} {
			assert.ErrorContains(t, s.Nodes[i].Err, text)
		}
		require.NoError(t, l.Shutdown(t.Context()))
	})
}

func TestInspectNamesAWaiterThatHasToLookAsItself(t *testing.T) {
	for name, forbids := range map[string]bool{"is told": false, "has to look": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 1)
				k := rig.Lock(t, rig.NewLocker(t, nodes))
				if forbids {
					nodes[0].Forbid()
				}
				ctx, cancel := context.WithCancel(t.Context())
				var all sync.WaitGroup
				for i, owner := range []string{"billing 7", strings.Repeat("o", 128)} {
					l := rig.NewLocker(t, nodes, redlock.WithOwner(owner))
					all.Go(func() { _, _ = l.Lock(ctx, "a", rig.TTL, rig.InTurn) })
					time.Sleep(time.Second)
					s := look(t, rig.NewLocker(t, nodes))
					require.Len(t, s.Waiting, i+1)
					assert.Equal(t, owner, s.Waiting[i].Owner)
				}
				cancel()
				all.Wait()
				require.NoError(t, k.Unlock(t.Context()))
			})
		})
	}
}
