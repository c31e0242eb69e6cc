package redlock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

func TestTheSpanOfALockHasItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		r := newRecorder()
		l := newLocker(t, nodes, redlock.WithFencing(fenceKeep), redlock.WithRetry(0, 0), r.option())
		theirs, err := newLocker(t, nodes).Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		_, err = l.Lock(t.Context(), "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		unlock(t, theirs)
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
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
		require.Equal(t, []any{nil, k.Token(), nil}, tokens)
	})
}

func TestPlainAndFencedLocksExcludeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l, other := newLocker(t, nodes), newLocker(t, nodes)
		fenced := redlock.WithFencing(fenceKeep)
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
