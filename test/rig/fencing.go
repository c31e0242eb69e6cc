package rig

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FenceKeep is how long the counters of these tests last.
const FenceKeep = 24 * time.Hour

// TokenKey is the key of the counter of "k".
const TokenKey = "{k}:redlock:token" //nolint:gosec // the counter of k, no secret

// Counter returns what the fencing counter of k stands at; 0 if there is none.
func (n *Node) Counter(t *testing.T) int64 {
	t.Helper()
	if !n.Exists(TokenKey) {
		return 0
	}
	text, err := n.Get(TokenKey)
	require.NoError(t, err)
	count, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return count
}

// SetCounter sets the fencing counter of k.
func (n *Node) SetCounter(t *testing.T, count int64) {
	t.Helper()
	require.NoError(t, n.Set(TokenKey, strconv.FormatInt(count, 10)))
}
