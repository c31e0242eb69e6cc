package rig

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// A RealHolder holds a lock that is extended automatically.
type RealHolder struct {
	*redlock.Lock

	Ctx   context.Context //nolint:containedctx // the lock's
	Ended <-chan struct{} // closed when it ends
	Cause func() error    // why it ended
}

// Lost reports whether the lock's context has ended.
func (h *RealHolder) Lost() bool {
	select {
	case <-h.Ended:
		return true
	default:
		return false
	}
}

// RequireHeld requires that the lock has not been lost.
func (h *RealHolder) RequireHeld(t *testing.T) {
	t.Helper()
	if h.Lost() {
		require.NoError(t, h.Cause())
	}
	require.True(t, h.Valid())
}

// AwaitExtensions waits until the lock has been extended n times.
func (h *RealHolder) AwaitExtensions(t *testing.T, n int) {
	t.Helper()
	for range n {
		until := h.Until()
		require.True(t, Poll(Patience, func() bool { return h.Lost() || h.Until().After(until) }), "not extended")
		h.RequireHeld(t)
	}
}

// FreezeBeforeDue freezes nodes just before a lock is to be extended.
func (on *Real) FreezeBeforeDue(t *testing.T, h *RealHolder, ttl, drift time.Duration, nodes int) {
	t.Helper()
	h.AwaitExtensions(t, 1)
	due := h.Until().Add(drift - ttl + ttl/3)
	<-time.NewTimer(time.Until(due) - ttl/60).C
	for _, s := range on.Servers[:nodes] {
		s.Freeze()
	}
}
