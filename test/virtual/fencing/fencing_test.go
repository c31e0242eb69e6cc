package fencing_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

const (
	fenceTTL = 10 * time.Second
)

// requireStands demands that a majority stands at the token.
func requireStands(t *testing.T, nodes []*rig.Node, token int64) {
	t.Helper()
	count := 0
	for _, n := range nodes {
		if n.Counter(t) >= token {
			count++
		}
	}
	require.Greater(t, count, len(nodes)/2)
}

func TestATokenIsTheClockAndCostsNoFurtherRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(rig.FenceKeep))
		rig.WarmUp(t, l)
		k, err := l.Lock(t.Context(), "k", fenceTTL) // loads its scripts
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		time.Sleep(time.Second)
		before := rig.Commands(nodes)
		now := time.Now().UnixMicro()
		k, err = l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, now, k.Token())
		require.Equal(t, before+3, rig.Commands(nodes))
		for _, n := range nodes {
			require.Equal(t, now, n.Counter(t))
			require.Equal(t, rig.FenceKeep, n.TTL(rig.TokenKey))
		}
		require.NoError(t, k.Unlock(t.Context()))
		require.Equal(t, now, k.Token())
		synctest.Wait()
		require.Equal(t, []string{"k"}, []string{k.Resource()})
		require.False(t, nodes[0].Exists("k"))
		require.Equal(t, now, nodes[0].Counter(t), "the counter outlives the lock")
	})
}

func TestWithoutFencingThereIsNoTokenAndNoCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		for _, l := range []*redlock.Locker{rig.NewLocker(t, nodes), rig.NewLocker(t, nodes, redlock.WithFencing(redlock.Forever))} {
			k, err := l.Lock(t.Context(), "k", fenceTTL, redlock.WithoutFencing())
			require.NoError(t, err)
			require.Zero(t, k.Token())
			require.NoError(t, k.Extend(t.Context(), fenceTTL))
			require.NoError(t, k.Unlock(t.Context()))
		}
		synctest.Wait()
		for _, n := range nodes {
			require.Zero(t, n.Counter(t))
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
				nodes := rig.New(t, len(tt.counters))
				for i, count := range tt.counters {
					if count > 0 {
						nodes[i].SetCounter(t, count)
					}
				}
				l := rig.NewLocker(t, nodes, redlock.WithFencing(rig.FenceKeep))
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
		nodes := rig.New(t, 3)
		far := time.Now().Add(time.Hour).UnixMicro()
		nodes[0].SetCounter(t, far)
		nodes[2].Stop() // a bare majority has to do
		l := rig.NewLocker(t, nodes, redlock.WithFencing(rig.FenceKeep), redlock.WithRetry(0, 0))
		sent := 0
		nodes[1].OnSend(func() {
			if sent++; nodes[1].Exists("k") {
				// The raise comes when somebody else has the node by now.
				require.NoError(t, nodes[1].Set("k", "theirs"))
			}
		})
		_, err := l.Lock(t.Context(), "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.Less(t, nodes[1].Counter(t), far)
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
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(rig.FenceKeep), redlock.WithRetry(0, 0), redlock.WithNodeTimeout(fenceTTL))
		rig.WarmUp(t, l)
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		far := time.Now().Add(time.Hour).UnixMicro()
		for i, n := range nodes {
			n.SetCounter(t, far+int64(i))
			n.Slow(fenceTTL * 3 / 5) // two rounds of it take longer than the lock lasts
		}
		_, err = l.Lock(t.Context(), "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		for _, n := range nodes {
			n.Slow(0)
		}
		k, err = l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.Greater(t, k.Token(), far+1, "which stood on a majority")
		require.NoError(t, k.Unlock(t.Context()))
	})
}
