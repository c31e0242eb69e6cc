package noscripts_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// Redis has words of its own for that where DELEX meets it, and Valkey the usual ones.
func TestAKeyOfAnotherTypeIsNotReleasedAgainAndAgain(t *testing.T) {
	for name, text := range map[string]string{
		"Redis":  "ERR Key should be of string type if conditions are specified",
		"Valkey": "WRONGTYPE Operation against a key holding the wrong kind of value",
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, nodes []*rig.Node, l *redlock.Locker, knows []*modern) {
				t.Helper()
				k, err := l.Lock(t.Context(), "a", time.Minute)
				require.NoError(t, err)
				synctest.Wait()
				for i, n := range nodes {
					n.Del("a")
					n.HSet("a", "field", "value")
					knows[i].fail("DELEX IFEQ", text)
				}
				assert.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum)
				assert.ErrorIs(t, rig.Err(l.TryLock(t.Context(), "a", time.Minute)), redlock.ErrNoQuorum)
				synctest.Wait()
				sent := rig.Sent(nodes)
				time.Sleep(2 * time.Minute)
				assert.Equal(t, sent, rig.Sent(nodes))
			})
		})
	}
}

// Nothing was granted there.
func TestAServerThatCannotDeleteIsOwedNoRelease(t *testing.T) {
	each(t, func(t *testing.T, nodes []*rig.Node, l *redlock.Locker, knows []*modern) {
		t.Helper()
		for _, m := range knows {
			m.fail("DELEX IFEQ", "ERR unknown command 'delex'")
			m.fail("DELIFEQ", "ERR unknown command 'delifeq'")
		}
		for range 3 {
			assert.ErrorIs(t, rig.Err(l.TryLock(t.Context(), "a", time.Minute)), redlock.ErrNoQuorum)
		}
		synctest.Wait()
		sent := rig.Sent(nodes)
		time.Sleep(2 * time.Minute)
		assert.Equal(t, sent, rig.Sent(nodes))
	})
}
