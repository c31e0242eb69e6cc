package unlock_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// Somebody waits. The node has said what became of the lock when it is asked to let the next
// one go, and that hangs.
func TestWhatANodeHasSaidOfAReleaseCountsThoughWhatLetsTheNextOneGoHangs(t *testing.T) {
	for name, unknown := range map[string]bool{"a command": false, "a script": true} {
		for _, gone := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l, nodes, h := rig.NewHooked(t, 1)
					newDeleter(t, nodes[0]).unknown.Store(unknown)
					lockTwice(t, l)
					k := rig.Lock(t, l)
					require.NoError(t, nodes[0].Set("{a}:redlock:next", "somebody"))
					if gone {
						nodes[0].Del("a")
					}
					var n atomic.Int32
					hang := make(chan struct{})
					h.Set(func(_ []redis.Cmder, next func() error) error {
						if n.Add(1) == 2 {
							<-hang
						}
						return next()
					})
					err := k.Unlock(t.Context())
					if gone {
						assert.ErrorIs(t, err, redlock.ErrLockLost)
					} else {
						assert.NoError(t, err)
					}
					close(hang)
					time.Sleep(time.Minute)
				})
			})
		}
	}
}
