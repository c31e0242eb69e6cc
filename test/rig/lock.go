package rig

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// TTL is how long a test's locks last that do not say so.
const TTL = 10 * time.Second

// Drift of ttl with the default factor.
const Drift = 102 * time.Millisecond

// Lock locks "a" for ttl and lets all nodes answer that can.
func Lock(t *testing.T, l *redlock.Locker, opts ...redlock.LockOption) *redlock.Lock {
	t.Helper()
	k, err := l.Lock(t.Context(), "a", TTL, opts...)
	require.NoError(t, err)
	synctest.Wait()
	return k
}

// RequireLocked checks that the value of "a" is k's on exactly these nodes.
func RequireLocked(t *testing.T, k *redlock.Lock, nodes ...*Node) {
	t.Helper()
	synctest.Wait()
	for i, n := range nodes {
		value, err := n.Get("a")
		require.NoError(t, err, "node %d", i)
		require.Equal(t, k.Value(), value, "node %d", i)
	}
}

// RequireFree checks that nobody has "a" on these nodes.
func RequireFree(t *testing.T, nodes ...*Node) {
	t.Helper()
	synctest.Wait()
	for i, n := range nodes {
		require.Empty(t, n.Keys(), "node %d", i)
	}
}
