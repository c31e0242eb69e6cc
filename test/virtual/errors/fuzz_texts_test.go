package errors_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// FuzzErrorTexts has a node fail with a text that may quote the lock's value, or
// as much of it as fits, and looks at all that is told of it.
func FuzzErrorTexts(f *testing.F) {
	for i, name := range rig.HostileNames() {
		for _, message := range []string{
			"ERR unknown command 'evalsha', with args beginning with: '0123' '1' '" + name + "' '{value}' '10000' ",
			"ERR unknown command 'evalsha', with args beginning with: '0123' '1' '" + name + "' '{part}",
			"{value}{value}", "{part}{value}{part}", "LOADING {value}", "NOSCRIPT {value}", "MOVED 1 {value}:1", "[value]", "", " ", name,
		} {
			f.Add(name, message, uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, resource, message string, part uint8) {
		if resource == "" {
			resource = "a"
		}
		// An error of Redis is a line, which may have other ends in it.
		message = strings.ReplaceAll(message[:min(len(message), 1<<10)], "\n", " ")
		synctest.Test(t, func(t *testing.T) {
			checkErrorTexts(t, resource, &answer{raw: "-" + message + "\r\n", part: int(part)})
		})
	})
}

func checkErrorTexts(t *testing.T, resource string, says *answer) {
	t.Helper()
	on := newBadRig(t, badFleet{nodes: 1, bad: 1}, redlock.WithRetry(0, 0))
	on.says = says
	rig.WarmUp(t, on.locker)
	k, err := on.locker.TryLock(t.Context(), resource, rig.TTL)
	require.NoError(t, err)
	tell := func(err error) {
		t.Helper()
		rig.RequireTidy(t, err, k.Value())
	}
	on.turnBad()
	err = k.Extend(t.Context(), rig.TTL)
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	tell(err)
	err = k.Unlock(t.Context())
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	tell(err)
	on.settle(t)
	for _, n := range on.log.Take(2) {
		tell(n)
		require.NotContains(t, n.Err.Error(), k.Value()[:10])
		require.Regexp(t, "^[A-Z]{1,}$", n.ErrorType())
	}

	on.turnGood()
	require.NoError(t, k.Unlock(t.Context()))
	err = on.locker.With(t.Context(), resource, rig.TTL, func(_ context.Context, lock *redlock.Lock) error {
		k = lock
		on.turnBad()
		return nil
	}, tell)
	require.NoError(t, err)
	on.settle(t)
}
