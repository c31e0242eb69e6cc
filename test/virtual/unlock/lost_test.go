package unlock_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

// hookAll puts a hook on the client of each node.
func hookAll(nodes []*rig.Node) []*rig.BatchHook {
	hooks := make([]*rig.BatchHook, len(nodes))
	for i, n := range nodes {
		hooks[i] = new(rig.BatchHook)
		n.Client.AddHook(hooks[i])
	}
	return hooks
}

// befall has the next sends through each hook, most of them, end with err. A reply
// that gets lost has been applied.
func befall(hooks []*rig.BatchHook, most int32, err error) {
	for _, h := range hooks {
		var n atomic.Int32
		h.Set(func(_ []redis.Cmder, next func() error) error {
			if n.Add(1) > most {
				return next()
			}
			if errReplyLost == err { //nolint:errorlint // it is itself
				_ = next()
			}
			return err
		})
	}
}

func heal(hooks []*rig.BatchHook) {
	for _, h := range hooks {
		h.Set(nil)
	}
}

// errReplyLost is what a client says of a connection that was cut.
var errReplyLost = io.EOF

// A serverError is one that a node answers.
type serverError string

func (e serverError) Error() string { return string(e) }

// RedisError makes it a redis.Error.
func (serverError) RedisError() {}

// neverRun are errors after which a command has not been carried out, for certain.
var neverRun = map[string]error{
	"no connection": &net.OpError{Op: "dial", Net: "tcp", Err: rig.ErrRefused},
	"no room":       redis.ErrPoolTimeout,
	"LOADING":       serverError("LOADING Redis is loading the dataset in memory"),
	"READONLY":      serverError("READONLY You can't write against a read only replica."),
	"BUSY":          serverError("BUSY Redis is busy running a script."),
	"too many":      serverError("ERR max number of clients reached"),
}

func TestUnlockSaysWhyTheLockWasLostIfThatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		time.Sleep(rig.TTL)
		err := k.Unlock(t.Context())
		require.ErrorIs(t, err, redlock.ErrLockLost)
		assert.ErrorContains(t, err, `unlock "a": lock lost: its TTL ran out: 0 of 3 nodes agreed`)

		k = rig.Lock(t, l)
		synctest.Wait()
		nodes[0].Del("a")
		nodes[1].Del("a")
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
		synctest.Wait()
		require.ErrorContains(t, k.Unlock(t.Context()), "lock lost: gone from 2 of 3 nodes")
	})
}

func TestAReleaseThatWasNeverRunDoesNotMakeTheNextOneSayRemoved(t *testing.T) {
	for name, err := range neverRun {
		for times, most := range map[string]int32{"in one call": 1, "in two calls": 2} {
			t.Run(name+" "+times, func(t *testing.T) {
				rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
					t.Helper()
					for _, resources := range [][]string{{"a"}, {"a", "b"}} {
						nodes := rig.New(t, 3)
						hooks := hookAll(nodes)
						l := rig.NewLocker(t, nodes, opts...)
						rig.WarmUp(t, l)
						k, lockErr := l.LockAll(t.Context(), resources, time.Minute)
						require.NoError(t, lockErr)
						time.Sleep(time.Second)
						for _, n := range nodes {
							n.FlushAll() // lost while it is valid
						}
						befall(hooks, most, err)
						if most > 1 {
							require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum)
							heal(hooks)
						}
						assert.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
						heal(hooks)
					}
				})
			})
		}
	}
}

func TestAReleaseThatWasTriedAgainUnaskedTellsTheNextUnlockWhatItFound(t *testing.T) {
	for name, lost := range map[string]bool{"removed": false, "lost": true} {
		t.Run(name, func(t *testing.T) {
			rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
				t.Helper()
				nodes := rig.New(t, 3)
				hooks := hookAll(nodes)
				l := rig.NewLocker(t, nodes, opts...)
				rig.WarmUp(t, l)
				k, err := l.Lock(t.Context(), "a", time.Minute)
				require.NoError(t, err)
				synctest.Wait()
				befall(hooks, 2, neverRun["no connection"])
				require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum)
				if lost {
					for _, n := range nodes {
						n.FlushAll()
					}
				}
				time.Sleep(10 * time.Second)
				rig.RequireNoKeys(t, nodes)
				if err := k.Unlock(t.Context()); lost {
					assert.ErrorIs(t, err, redlock.ErrLockLost)
				} else {
					assert.NoError(t, err)
				}
			})
		})
	}
}

func TestWithTellsOfALockThatWasGoneThoughTheFirstTryOfItsReleaseWasNeverRun(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		nodes := rig.New(t, 3)
		hooks := hookAll(nodes)
		l := rig.NewLocker(t, nodes, opts...)
		rig.WarmUp(t, l)
		var told []error
		require.NoError(t, l.With(t.Context(), "a", time.Minute, func(context.Context, *redlock.Lock) error {
			time.Sleep(time.Second)
			for _, n := range nodes {
				n.FlushAll()
			}
			befall(hooks, 1, neverRun["no connection"])
			return nil
		}, func(err error) { told = append(told, err) }))
		require.Len(t, told, 1)
		assert.ErrorIs(t, told[0], redlock.ErrLockLost)
	})
}

func TestAReleaseWhoseReplyWasLostSaysRemovedOnlyIfTheKeyCanHaveBeenThere(t *testing.T) {
	const ttl = 500 * time.Millisecond
	for name, tt := range map[string]struct {
		held time.Duration
		want error
	}{
		"there":             {held: 300 * time.Millisecond},
		"run out":           {held: 600 * time.Millisecond, want: redlock.ErrLockLost},
		"just past the TTL": {held: 510 * time.Millisecond, want: redlock.ErrLockLost},
	} {
		for times, most := range map[string]int32{"in one call": 1, "in two calls": 2} {
			t.Run(name+" "+times, func(t *testing.T) {
				rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
					t.Helper()
					nodes := rig.New(t, 3)
					hooks := hookAll(nodes)
					l := rig.NewLocker(t, nodes, opts...)
					rig.WarmUp(t, l)
					k, err := l.Lock(t.Context(), "a", ttl, redlock.WithRetry(0, 0))
					require.NoError(t, err)
					time.Sleep(tt.held)
					var thief *redlock.Lock
					if tt.want != nil {
						thief = rig.Lock(t, rig.NewLocker(t, nodes))
					}
					befall(hooks, most, errReplyLost)
					if most > 1 {
						require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum)
						heal(hooks)
					}
					if err := k.Unlock(t.Context()); tt.want == nil {
						assert.NoError(t, err)
					} else {
						assert.ErrorIs(t, err, tt.want)
						rig.RequireLocked(t, thief, nodes...)
					}
					heal(hooks)
				})
			})
		}
	}
}

// One of the nodes that have lost the lock does not answer the release.
func TestUnlockSaysLostOfALockThatAnExtensionHasFoundGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 5)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k := rig.Lock(t, l)
		require.NoError(t, k.Extend(t.Context(), rig.TTL)) // from now on it is one request
		synctest.Wait()
		for _, n := range nodes[:3] {
			n.Del("a")
		}
		nodes[2].OnSend(func() { nodes[2].Slow(time.Hour) }) // from the extension on
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
		assert.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
		nodes[2].OnSend(nil)
		nodes[2].Hurry()
	})
}

// The machine sleeps during an extension, so that its end finds the lock over, and no timer.
func TestUnlockSaysLostOfALockThatRanOutDuringAnExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k := rig.Lock(t, l)
		for _, n := range nodes {
			n.Slow(10 * time.Millisecond)
		}
		var slept time.Duration
		seam.SetWallJump(l, func() time.Duration { return slept })
		time.AfterFunc(5*time.Millisecond, func() { slept = rig.TTL })
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
		time.Sleep(time.Second)
		assert.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost, "another process may have had it since")
	})
}
