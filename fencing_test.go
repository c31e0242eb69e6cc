package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

const (
	fenceTTL  = 10 * time.Second
	fenceKeep = 24 * time.Hour
	tokenKey  = "{k}:redlock:token" //nolint:gosec // the counter of k, no secret
)

// counter returns what the fencing counter of k stands at; 0 if there is none.
func (n *node) counter(t *testing.T) int64 {
	t.Helper()
	if !n.Exists(tokenKey) {
		return 0
	}
	text, err := n.Get(tokenKey)
	require.NoError(t, err)
	count, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return count
}

func (n *node) setCounter(t *testing.T, count int64) {
	t.Helper()
	require.NoError(t, n.Set(tokenKey, strconv.FormatInt(count, 10)))
}

// requireStands demands that a majority stands at the token.
func requireStands(t *testing.T, nodes []*node, token int64) {
	t.Helper()
	count := 0
	for _, n := range nodes {
		if n.counter(t) >= token {
			count++
		}
	}
	require.Greater(t, count, len(nodes)/2)
}

func TestATokenIsTheClockAndCostsNoFurtherRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes, redlock.WithFencing(fenceKeep))
		warmUp(t, l)
		k, err := l.Lock(t.Context(), "k", fenceTTL) // loads its scripts
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		time.Sleep(time.Second)
		before := commands(nodes)
		now := time.Now().UnixMicro()
		k, err = l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, now, k.Token())
		require.Equal(t, before+3, commands(nodes))
		for _, n := range nodes {
			require.Equal(t, now, n.counter(t))
			require.Equal(t, fenceKeep, n.TTL(tokenKey))
		}
		require.NoError(t, k.Unlock(t.Context()))
		require.Equal(t, now, k.Token())
		synctest.Wait()
		require.Equal(t, []string{"k"}, []string{k.Resource()})
		require.False(t, nodes[0].Exists("k"))
		require.Equal(t, now, nodes[0].counter(t), "the counter outlives the lock")
	})
}

func commands(nodes []*node) int {
	sum := 0
	for _, n := range nodes {
		sum += n.commands()
	}
	return sum
}

func TestWithoutFencingThereIsNoTokenAndNoCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		for _, l := range []*redlock.Locker{newLocker(t, nodes), newLocker(t, nodes, redlock.WithFencing(redlock.Forever))} {
			k, err := l.Lock(t.Context(), "k", fenceTTL, redlock.WithoutFencing())
			require.NoError(t, err)
			require.Zero(t, k.Token())
			require.NoError(t, k.Extend(t.Context(), fenceTTL))
			require.NoError(t, k.Unlock(t.Context()))
		}
		synctest.Wait()
		for _, n := range nodes {
			require.Zero(t, n.counter(t))
		}
		require.Zero(t, (*redlock.Lock)(nil).Token())
		require.Zero(t, new(redlock.Lock).Token())
	})
}

func TestTokensGrowWhateverTheCountersStandAt(t *testing.T) {
	far := time.Date(2000, 1, 1, 12, 0, 0, 0, time.UTC).UnixMicro() // ahead of the bubble's clock
	for _, tt := range []struct {
		name     string
		counters []int64
	}{
		{"none there", []int64{0, 0, 0}},
		{"all behind the clock", []int64{1, 2, 3}},
		{"all at one number ahead of it", []int64{far, far, far}},
		{"one ahead", []int64{0, far, 0}},
		{"two ahead", []int64{0, far, far}},
		{"three apart", []int64{far, far + 5, far + 10}},
		{"one far above the others", []int64{3, 3, far * 1000}},
		{"five apart", []int64{far, far + 5, far + 10, far + 15, far + 20}},
		{"one node", []int64{far}},
		{"two nodes apart", []int64{far, far + 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, len(tt.counters))
				for i, count := range tt.counters {
					if count > 0 {
						nodes[i].setCounter(t, count)
					}
				}
				l := newLocker(t, nodes, redlock.WithFencing(fenceKeep))
				last := int64(0)
				for i := range 20 {
					k, err := l.Lock(t.Context(), "k", fenceTTL)
					require.NoError(t, err)
					require.Greater(t, k.Token(), last)
					requireStands(t, nodes, k.Token())
					if i == 0 {
						// It is above what stood on a majority.
						above := 0
						for _, count := range tt.counters {
							if k.Token() > count {
								above++
							}
						}
						require.Greater(t, above, len(nodes)/2)
					}
					last = k.Token()
					require.NoError(t, k.Unlock(t.Context()))
					if i%3 == 0 {
						time.Sleep(time.Duration(i) * time.Millisecond)
					}
				}
			})
		})
	}
}

func TestCountersAreRaisedOnlyWhereTheLockIsStillOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		far := time.Now().Add(time.Hour).UnixMicro()
		nodes[0].setCounter(t, far)
		nodes[2].stop() // a bare majority has to do
		l := newLocker(t, nodes, redlock.WithFencing(fenceKeep), redlock.WithRetry(0, 0))
		sent := 0
		nodes[1].onSend(func() {
			if sent++; nodes[1].Exists("k") {
				// The raise comes when somebody else has the node by now.
				require.NoError(t, nodes[1].Set("k", "theirs"))
			}
		})
		_, err := l.Lock(t.Context(), "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrNotAcquired)
		require.Less(t, nodes[1].counter(t), far)
		synctest.Wait()
		got, err := nodes[1].Get("k")
		require.NoError(t, err)
		require.Equal(t, "theirs", got)
		require.False(t, nodes[0].Exists("k"), "what was granted is removed")
		require.Greater(t, sent, 1)
	})
}

func TestValidityIsCheckedAfterCountersAreRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes, redlock.WithFencing(fenceKeep), redlock.WithRetry(0, 0), redlock.WithNodeTimeout(fenceTTL))
		warmUp(t, l)
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		far := time.Now().Add(time.Hour).UnixMicro()
		for i, n := range nodes {
			n.setCounter(t, far+int64(i))
			n.slow(fenceTTL * 3 / 5) // two rounds of it take longer than the lock lasts
		}
		_, err = l.Lock(t.Context(), "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		for _, n := range nodes {
			n.slow(0)
		}
		k, err = l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.Greater(t, k.Token(), far+1, "which stood on a majority")
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestAFrozenNodeCostsAFencedLockNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes, redlock.WithFencing(fenceKeep))
		warmUp(t, l)
		nodes[1].freeze()
		far := time.Now().Add(time.Hour).UnixMicro()
		nodes[0].setCounter(t, far) // so that the counters have to be raised
		start, last := time.Now(), int64(0)
		for range 10 {
			k, err := l.Lock(t.Context(), "k", fenceTTL)
			require.NoError(t, err)
			require.Greater(t, k.Token(), max(last, far))
			last = k.Token()
			require.NoError(t, k.Extend(t.Context(), fenceTTL))
			require.NoError(t, k.Unlock(t.Context()))
		}
		require.Less(t, time.Since(start), 10*time.Millisecond)
		nodes[1].thaw()
		synctest.Wait()
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.Greater(t, k.Token(), last)
	})
}

func TestALateGrantDoesNotChangeTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes, redlock.WithFencing(fenceKeep))
		warmUp(t, l)
		far := time.Now().Add(time.Hour).UnixMicro()
		nodes[2].setCounter(t, far)
		nodes[2].freeze()
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		token := k.Token()
		require.Less(t, token, far)
		nodes[2].thaw()
		synctest.Wait()
		require.True(t, nodes[2].Exists("k"))
		require.Equal(t, far+1, nodes[2].counter(t))
		require.NoError(t, k.Extend(t.Context(), fenceTTL))
		require.Equal(t, token, k.Token())
		require.NoError(t, k.Unlock(t.Context()))
		last := token
		for range 3 {
			k, err = l.Lock(t.Context(), "k", fenceTTL)
			require.NoError(t, err)
			require.Greater(t, k.Token(), last)
			requireStands(t, nodes, k.Token())
			last = k.Token()
			require.NoError(t, k.Unlock(t.Context()))
		}
	})
}

func TestATokenLivesThroughTheRestartOfEveryNodeUnderALock(t *testing.T) {
	for _, automatic := range []bool{false, true} {
		t.Run(fmt.Sprintf("automatic=%t", automatic), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				opts := []redlock.Option{redlock.WithFencing(fenceKeep)}
				if automatic {
					opts = append(opts, redlock.WithAutoExtend(redlock.Forever))
				}
				l := newLocker(t, nodes, opts...)
				far := time.Now().Add(12 * time.Hour).UnixMicro()
				for _, n := range nodes {
					n.setCounter(t, far) // tokens that no clock makes up for
				}
				k, err := l.Lock(t.Context(), "k", fenceTTL)
				require.NoError(t, err)
				token := k.Token()
				require.Greater(t, token, far)
				for range 2 {
					for _, n := range nodes {
						synctest.Wait()
						n.stop()
						n.restart()
						for range 3 { // to be put back, to count, and once more
							if automatic {
								time.Sleep(fenceTTL / 2)
							} else {
								require.NoError(t, k.Extend(t.Context(), fenceTTL))
								time.Sleep(time.Second) // go-redis has broken connections to find out about
							}
							if n.Exists("k") {
								require.GreaterOrEqual(t, n.counter(t), token, "the lock was put back without its token")
							}
						}
						require.GreaterOrEqual(t, n.counter(t), token)
					}
				}
				require.Equal(t, token, k.Token())
				require.NoError(t, k.Unlock(t.Context()))
				synctest.Wait()
				k, err = l.Lock(t.Context(), "k", fenceTTL)
				require.NoError(t, err)
				require.Greater(t, k.Token(), token)
				require.NoError(t, k.Unlock(t.Context()))
			})
		})
	}
}

func TestALongHoldDoesNotOutliveItsCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keep = 2 * fenceTTL
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes, redlock.WithFencing(keep), redlock.WithAutoExtend(redlock.Forever))
		far := time.Now().Add(12 * time.Hour).UnixMicro()
		for _, n := range nodes {
			n.setCounter(t, far)
			n.SetTTL(tokenKey, fenceTTL)
		}
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.Equal(t, far+1, k.Token())
		time.Sleep(10 * keep)
		for _, n := range nodes {
			require.Equal(t, far+1, n.counter(t))
		}
		require.NoError(t, k.Unlock(t.Context()))
		time.Sleep(keep - fenceTTL)
		for _, n := range nodes {
			require.Equal(t, far+1, n.counter(t))
		}
		time.Sleep(fenceTTL + time.Second)
		for _, n := range nodes {
			require.Empty(t, n.Keys(), "it is gone after its last use")
		}
	})
}

func TestTheCounterOutlivesTheLockWhateverItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocker(t, newNodes(t, 1))
		_, err := l.Lock(t.Context(), "k", fenceTTL, redlock.WithFencing(2*fenceTTL-time.Millisecond))
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		require.ErrorContains(t, err, "WithFencing(")
		k, err := l.Lock(t.Context(), "k", fenceTTL, redlock.WithFencing(2*fenceTTL))
		require.NoError(t, err)
		require.ErrorIs(t, k.Extend(t.Context(), fenceTTL+time.Millisecond), redlock.ErrInvalidArgument)
		require.NoError(t, k.Extend(t.Context(), fenceTTL))
		require.NoError(t, k.Unlock(t.Context()))
		k, err = l.Lock(t.Context(), "k", fenceTTL, redlock.WithFencing(redlock.Forever))
		require.NoError(t, err)
		require.NoError(t, k.Extend(t.Context(), 100*fenceTTL))
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestABadKeepIsRejected(t *testing.T) {
	t.Parallel()
	for _, keep := range []time.Duration{0, -2, -time.Hour} {
		_, err := redlock.New(clients(newNodes(t, 1)), redlock.WithFencing(keep))
		require.ErrorIs(t, err, redlock.ErrInvalidArgument, keep)
	}
}

func TestANameThatAllowsNoCounterIsRefusedBeforeAnythingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		l := newLocker(t, nodes, redlock.WithFencing(fenceKeep))
		for _, name := range []string{"}", "{}", "a}b", "{}{a}"} {
			_, err := l.Lock(t.Context(), name, fenceTTL)
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, name)
			require.ErrorContains(t, err, "fencing token")
			require.Zero(t, nodes[0].commands())
		}
		for _, name := range []string{"{a}b", "b{a}", "{", "a{b"} {
			k, err := l.Lock(t.Context(), name, fenceTTL)
			require.NoError(t, err, name)
			require.Positive(t, k.Token())
			require.NoError(t, k.Unlock(t.Context()))
		}
		k, err := l.Lock(t.Context(), "a}b", fenceTTL, redlock.WithoutFencing())
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestTheLastTokenIsSaidToBeTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const last = 1<<53 - 1
		nodes := newNodes(t, 3)
		for _, n := range nodes {
			n.setCounter(t, last-1)
		}
		l := newLocker(t, nodes, redlock.WithFencing(redlock.Forever), redlock.WithRetry(0, 0))
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.Equal(t, int64(last), k.Token())
		require.NoError(t, k.Extend(t.Context(), fenceTTL))
		require.NoError(t, k.Unlock(t.Context()))
		_, err = l.Lock(t.Context(), "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrNotAcquired)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		require.ErrorIs(t, err, redlock.ErrTokenLimit)
		failed, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		require.Equal(t, "token_limit", failed.ErrorType())
		require.ErrorContains(t, err, `redlock: lock "k": no fencing tokens left: 0 of 2 required nodes agreed`)
		node, ok := errors.AsType[*redlock.NodeError](err)
		require.True(t, ok)
		require.Equal(t, "TOKENLIMIT", node.ErrorType())
		synctest.Wait()
		for _, n := range nodes {
			require.Equal(t, int64(last), n.counter(t))
			require.False(t, n.Exists("k"))
		}
		_, err = l.Lock(t.Context(), "other", fenceTTL)
		require.NoError(t, err)
		require.NotErrorIs(t, &redlock.NodeError{Err: errors.New("TOKEN")}, redlock.ErrTokenLimit)
		require.NotErrorIs(t, &redlock.NodeError{}, redlock.ErrTokenLimit)
	})
}

func TestAMinorityWithoutTokensIsNotTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		nodes[0].setCounter(t, 1<<53-1)
		l := newLocker(t, nodes, redlock.WithFencing(fenceKeep), redlock.WithRetry(0, 0))
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err, "the others have tokens")
		require.NoError(t, k.Unlock(t.Context()))
		nodes[1].stop()
		_, err = l.Lock(t.Context(), "k", fenceTTL)
		failed, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		require.Equal(t, "no_quorum", failed.ErrorType())
		require.ErrorIs(t, err, redlock.ErrTokenLimit, "on one node")
	})
}

func TestTheSpanOfALockHasItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		r := newRecorder()
		l := newLocker(t, nodes, redlock.WithFencing(fenceKeep), redlock.WithRetry(0, 0), r.option())
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		_, err = l.Lock(t.Context(), "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.NoError(t, k.Unlock(t.Context()))
		plain, err := l.Lock(t.Context(), "k", fenceTTL, redlock.WithoutFencing())
		require.NoError(t, err)
		require.NoError(t, plain.Unlock(t.Context()))
		var tokens []any
		for _, s := range r.take() {
			token := attributes(s)["redlock.token"]
			if s.Name() != "redlock.lock" {
				require.Nil(t, token, s.Name())
				continue
			}
			tokens = append(tokens, token)
		}
		require.Equal(t, []any{k.Token(), nil, nil}, tokens)
	})
}

func TestPlainAndFencedLocksExcludeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		fenced := redlock.WithFencing(fenceKeep)
		k, err := l.Lock(t.Context(), "k", fenceTTL, fenced)
		require.NoError(t, err)
		_, err = l.TryLock(t.Context(), "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.NoError(t, k.Unlock(t.Context()))
		plain, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		_, err = l.TryLock(t.Context(), "k", fenceTTL, fenced)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.NoError(t, plain.Unlock(t.Context()))
		again, err := l.Lock(t.Context(), "k", fenceTTL, fenced)
		require.NoError(t, err)
		require.Greater(t, again.Token(), k.Token())
		require.NoError(t, again.Unlock(t.Context()))
	})
}

func TestWhoWaitsInLineIsGrantedTokensToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		const lockers, turns = 4, 12
		tokens := make(chan int64, lockers*turns)
		last := int64(0)
		done := make(chan struct{})
		for i := range lockers {
			opts := []redlock.Option{redlock.WithFencing(fenceKeep), redlock.WithRetry(redlock.Forever, 50*time.Millisecond)}
			if i == 0 {
				opts = append(opts, redlock.WithoutWaitingLine())
			}
			l := newLocker(t, nodes, opts...)
			go func() {
				defer func() { done <- struct{}{} }()
				for range turns {
					assert.NoError(t, l.With(t.Context(), "k", fenceTTL, func(_ context.Context, k *redlock.Lock) error {
						assert.Greater(t, k.Token(), last)
						last = k.Token()
						tokens <- last
						time.Sleep(time.Millisecond)
						return nil
					}, nil))
				}
			}()
		}
		for range lockers {
			<-done
		}
		require.Len(t, tokens, lockers*turns)
	})
}

func TestAClockThatIsFarAheadDoesNotUseUpTheTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		jump := 48 * time.Hour
		ahead := newLocker(t, nodes, redlock.WithFencing(fenceKeep))
		redlock.SetWallJump(ahead, func() time.Duration { return jump })
		behind := newLocker(t, nodes, redlock.WithFencing(fenceKeep))
		redlock.SetWallJump(behind, func() time.Duration { return -jump })
		last := int64(0)
		for i := range 10 {
			l := []*redlock.Locker{ahead, behind}[i%2]
			k, err := l.Lock(t.Context(), "k", fenceTTL)
			require.NoError(t, err)
			require.Greater(t, k.Token(), last)
			require.Less(t, k.Token(), time.Now().UnixMicro(), "ignored where it is a day ahead")
			last = k.Token()
			require.NoError(t, k.Unlock(t.Context()))
		}
		jump = 23 * time.Hour
		k, err := ahead.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.Equal(t, time.Now().Add(jump).UnixMicro(), k.Token())
		require.NoError(t, k.Unlock(t.Context()))
	})
}
