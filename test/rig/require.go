package rig

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// allKinds are all sentinels, and the context's errors, which no node may cause.
var allKinds = []error{
	redlock.ErrContended, redlock.ErrOtherHolder, redlock.ErrNoQuorum, redlock.ErrLockLost, redlock.ErrHoldLimit,
	redlock.ErrUnlocked, redlock.ErrShutdown, redlock.ErrInvalidArgument, context.Canceled, context.DeadlineExceeded,
}

// RequireNoOtherKind requires that err is an error and matches none but these
// kinds.
func RequireNoOtherKind(t *testing.T, err error, kinds ...error) {
	t.Helper()
	require.Error(t, err)
	for _, kind := range allKinds {
		if !slices.Contains(kinds, kind) {
			require.NotErrorIs(t, err, kind)
		}
	}
}

// RequireNotCancelled requires that err does not match an error of package context.
func RequireNotCancelled(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	require.NotErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
}

// ErrBody is what a function fails with that runs under a lock.
var ErrBody = errors.New("body failed")
