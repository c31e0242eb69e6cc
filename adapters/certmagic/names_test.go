package certmagiclock_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestAnyNameIsLockedWhateverTheRedlockLockerAddsToLocks(t *testing.T) {
	for _, name := range []string{
		"", " ", "issue_cert_*.example.com", "a}b", "{}", "}{", "{a}b", "a:redlock:line", "\x00\xff\r\n", "bücher.example", strings.Repeat("a", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				one, other := newLocker(t, nodes, redlock.WithFencing(redlock.Forever)), newLocker(t, nodes, redlock.WithFencing(redlock.Forever))
				require.NoError(t, one.Lock(t.Context(), name))
				ok, err := other.TryLock(t.Context(), name)
				require.NoError(t, err)
				require.False(t, ok)
				require.NoError(t, one.RenewLockLease(t.Context(), name, ttl))
				next := start(func() error { return other.Lock(t.Context(), name) })
				requireWaits(t, next)
				require.NoError(t, one.Unlock(t.Context(), name))
				requireSoon(t, next)
				require.NoError(t, other.Unlock(t.Context(), name))
				requireFree(t, nodes) // no counter of tokens that nobody asks for
			})
		})
	}
}
