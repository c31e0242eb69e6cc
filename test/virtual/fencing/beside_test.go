package fencing_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestTheSpanOfALockHasItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		r := rig.NewRecorder()
		l := rig.NewLocker(t, nodes, redlock.WithFencing(rig.FenceKeep), redlock.WithRetry(0, 0), r.Option())
		theirs, err := rig.NewLocker(t, nodes).Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		_, err = l.Lock(t.Context(), "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		rig.Unlock(t, theirs)
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
		plain, err := l.Lock(t.Context(), "k", fenceTTL, redlock.WithoutFencing())
		require.NoError(t, err)
		require.NoError(t, plain.Unlock(t.Context()))
		var tokens []any
		for _, s := range r.Take() {
			token := rig.Attributes(s)["redlock.token"]
			if s.Name() != "redlock.lock" {
				require.Nil(t, token, s.Name())
				continue
			}
			tokens = append(tokens, token)
		}
		require.Equal(t, []any{nil, k.Token(), nil}, tokens)
	})
}

func TestPlainAndFencedLocksExcludeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		fenced := redlock.WithFencing(rig.FenceKeep)
		k, err := l.Lock(t.Context(), "k", fenceTTL, fenced)
		require.NoError(t, err)
		_, err = other.TryLock(t.Context(), "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.NoError(t, k.Unlock(t.Context()))
		plain, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		_, err = other.TryLock(t.Context(), "k", fenceTTL, fenced)
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
		nodes := rig.New(t, 3)
		const lockers, turns = 4, 12
		tokens := make(chan int64, lockers*turns)
		last := int64(0)
		done := make(chan struct{})
		for i := range lockers {
			opts := []redlock.Option{redlock.WithFencing(rig.FenceKeep), redlock.WithRetry(redlock.Forever, 50*time.Millisecond)}
			if i == 0 {
				opts = append(opts, redlock.WithoutWaitingLine())
			}
			l := rig.NewLocker(t, nodes, opts...)
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
