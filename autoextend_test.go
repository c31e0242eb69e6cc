package redlock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

func TestALockIsExtendedForAsLongAsTheFunctionTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		err := l.With(t.Context(), "r", time.Second, func(ctx context.Context, lock *redlock.Lock) error {
			time.Sleep(time.Minute)
			require.NoError(t, ctx.Err())
			require.True(t, lock.Valid())
			return nil
		}, nil, redlock.WithAutoExtend(redlock.Forever))
		require.NoError(t, err)
		for _, n := range nodes {
			assert.False(t, n.Exists("r"))
		}
	})
}

func TestAFailedExtensionIsToldAtTheEndOfValidity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		k, err := l.Lock(t.Context(), "r", 10*time.Second, redlock.WithAutoExtend(redlock.Forever))
		require.NoError(t, err)
		ctx, cancel := k.Context(t.Context())
		defer cancel()
		time.Sleep(4 * time.Second)
		until := k.Until()
		nodes[0].freeze()
		nodes[1].freeze()
		<-ctx.Done()
		assert.Equal(t, until, time.Now())
		require.ErrorIs(t, context.Cause(ctx), redlock.ErrLockLost)
		nodes[0].thaw()
		nodes[1].thaw()
		require.False(t, errors.Is(k.Unlock(t.Context()), redlock.ErrNoQuorum))
	})
}
