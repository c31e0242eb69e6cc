package rig

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// Forever extends a lock until it is unlocked.
var Forever = redlock.WithAutoExtend(redlock.Forever)

// Keep locks "a" with automatic extension, on nodes that know the scripts.
func Keep(t *testing.T, l *redlock.Locker, ttl time.Duration, opts ...redlock.LockOption) (*redlock.Lock, context.Context) {
	t.Helper()
	WarmUp(t, l)
	k, err := l.Lock(t.Context(), "a", ttl, append([]redlock.LockOption{Forever}, opts...)...)
	require.NoError(t, err)
	synctest.Wait()
	ctx, cancel := k.Context(t.Context())
	t.Cleanup(cancel)
	return k, ctx
}

// WarmUp has l open its connections and load its scripts, so that a command
// takes one exchange from then on.
func WarmUp(t *testing.T, l *redlock.Locker) {
	t.Helper()
	k, err := l.Lock(t.Context(), "warm up", time.Hour)
	require.NoError(t, err)
	synctest.Wait() // a node that has not answered yet would not be asked to extend
	require.NoError(t, k.Extend(t.Context(), time.Hour))
	require.NoError(t, k.Unlock(t.Context()))
	synctest.Wait()
}

// Clients returns the nodes' clients.
func Clients(nodes []*Node) []*redis.Client {
	all := make([]*redis.Client, len(nodes))
	for i, n := range nodes {
		all[i] = n.Client
	}
	return all
}

// NewLocker returns a Locker on nodes, which is shut down when t ends.
func NewLocker(t *testing.T, nodes []*Node, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	l, err := redlock.New(Clients(nodes), opts...)
	require.NoError(t, err)
	// Whatever is under way ends, in virtual time: nothing may be left.
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // ends what a failed test holds for ever
		defer cancel()
		_ = l.Shutdown(ctx)
		assert.NoError(t, l.Shutdown(context.Background()))
	})
	return l
}

// Both runs a test with and without batches.
func Both(t *testing.T, f func(t *testing.T, opts ...redlock.Option)) {
	t.Helper()
	for name, opts := range map[string][]redlock.Option{"by itself": nil, "in batches": {redlock.WithAutoPipeline()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, opts...) })
		})
	}
}

// WaitForever waits for a lock without an end.
var WaitForever = redlock.WithRetry(redlock.Forever, 400*time.Millisecond)
