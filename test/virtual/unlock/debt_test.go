package unlock_test

import (
	"context"
	"runtime"
	"strconv"
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

func TestAReleaseThatHadNoConnectionIsTriedOnceMoreWhenTheClientDialsAgain(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"by itself": nil, "in batches": {redlock.WithAutoPipeline()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes, opts...)
				rig.WarmUp(t, l)
				for gate := range nodes { // with and without the line
					var locks []*redlock.Lock
					for _, key := range []string{"a", "b", "c"} {
						k, err := l.Lock(t.Context(), key, time.Hour)
						require.NoError(t, err)
						locks = append(locks, k)
					}
					synctest.Wait()
					require.Len(t, nodes[gate].Keys(), 3)
					nodes[gate].Unreachable(true)
					for _, k := range locks {
						require.NoError(t, k.Unlock(t.Context()))
					}
					time.Sleep(time.Second) // both tries take 400 ms
					nodes[gate].Unreachable(false)
					time.Sleep(2 * time.Second)
					rig.RequireNoKeys(t, nodes)
					require.Zero(t, seam.OpenCalls(l))
				}
			})
		})
	}
}

func TestANodeThatStaysAwayIsSeldomAskedForWhatItIsOwedAndOnlyUntilTheKeysHaveRunOut(t *testing.T) {
	for name, err := range neverRun {
		t.Run(name, func(t *testing.T) {
			rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
				t.Helper()
				const locks, ttl = 10, 10 * time.Minute
				nodes := rig.New(t, 3)
				hooks := hookAll(nodes[:1])
				l := rig.NewLocker(t, nodes, opts...)
				rig.WarmUp(t, l)
				var held []*redlock.Lock
				for i := range locks {
					k, err := l.Lock(t.Context(), strconv.Itoa(i), ttl)
					require.NoError(t, err)
					held = append(held, k)
				}
				synctest.Wait()
				sent := hooks[0].Sends(func() error { return err })
				for _, k := range held {
					require.NoError(t, k.Unlock(t.Context()))
				}
				for range 11 {
					time.Sleep(time.Minute)
					synctest.Wait()
					require.Zero(t, seam.OpenCalls(l), "between the tries nothing is under way")
				}
				require.Len(t, nodes[0].Keys(), 0)
				t.Logf("%d requests", sent())
				require.Less(t, sent(), 2*locks+3*70, "a few every ten seconds")
				before := sent()
				time.Sleep(time.Hour)
				require.Equal(t, before, sent())
			})
		})
	}
}

func TestShutdownHasWhatIsOwedTriedTwiceMore(t *testing.T) {
	for name, back := range map[string]bool{"in vain": false, "with success": true} {
		t.Run(name, func(t *testing.T) {
			rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
				t.Helper()
				nodes := rig.New(t, 3)
				hooks := hookAll(nodes[:1])
				l := rig.NewLocker(t, nodes, opts...)
				rig.WarmUp(t, l)
				var held []*redlock.Lock
				for i := range 3 {
					k, err := l.Lock(t.Context(), strconv.Itoa(i), time.Hour)
					require.NoError(t, err)
					held = append(held, k)
				}
				synctest.Wait()
				var well atomic.Bool
				sent := hooks[0].Sends(func() error {
					if well.Load() {
						return nil
					}
					return neverRun["LOADING"]
				})
				for _, k := range held[1:] {
					require.NoError(t, k.Unlock(t.Context()))
				}
				time.Sleep(time.Minute)
				before := sent()
				time.AfterFunc(100*time.Millisecond, func() {
					well.Store(back)
					_ = held[0].Unlock(context.Background())
				})
				begun := time.Now()
				require.NoError(t, l.Shutdown(t.Context()))
				assert.Less(t, time.Since(begun), 3*time.Second, "two tries, 1.2 s apart")
				if back {
					rig.RequireNoKeys(t, nodes)
				} else {
					assert.Equal(t, 2+2*3, sent()-before, "the release of the last lock, and what is owed")
				}
				before = sent()
				time.Sleep(2 * time.Hour)
				assert.Equal(t, before, sent())
			})
		})
	}
}

func TestAReleaseIsTriedAgainUntilTheNodeIsWell(t *testing.T) {
	for name, err := range neverRun {
		t.Run(name, func(t *testing.T) {
			rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
				t.Helper()
				for _, resources := range [][]string{{"a"}, {"a", "b"}} {
					nodes := rig.New(t, 3)
					hooks := hookAll(nodes)
					l := rig.NewLocker(t, nodes, opts...)
					rig.WarmUp(t, l)
					for i, n := range nodes { // with and without the line
						k, lockErr := l.LockAll(t.Context(), resources, time.Hour)
						require.NoError(t, lockErr)
						synctest.Wait()
						befall(hooks[i:i+1], 1000, err)
						require.NoError(t, k.Unlock(t.Context()))
						time.Sleep(time.Minute)
						require.Len(t, n.Keys(), len(resources))
						heal(hooks)
						time.Sleep(11 * time.Second)
						rig.RequireNoKeys(t, nodes)
						require.Zero(t, seam.OpenCalls(l))
					}
				}
			})
		})
	}
}

func TestALeftoverOfANodeThatWasNotWellDoesNotRefuseItsOwnLocker(t *testing.T) {
	for name, err := range neverRun {
		t.Run(name, func(t *testing.T) {
			rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
				t.Helper()
				nodes := rig.New(t, 3)
				hooks := hookAll(nodes[:1])
				l := rig.NewLocker(t, nodes, append(opts, redlock.WithRetry(0, 0))...)
				rig.WarmUp(t, l)
				k, lockErr := l.Lock(t.Context(), "a", time.Hour)
				require.NoError(t, lockErr)
				synctest.Wait()
				befall(hooks, 1000, err)
				require.NoError(t, k.Unlock(t.Context()))
				time.Sleep(59*time.Second + 500*time.Millisecond)
				heal(hooks)
				require.Equal(t, []string{"a"}, nodes[0].Keys())
				nodes[1].Unreachable(true)
				k, lockErr = l.Lock(t.Context(), "a", time.Hour) // needs the one that has the leftover
				require.NoError(t, lockErr)
				nodes[1].Unreachable(false)
				require.NoError(t, k.Unlock(t.Context()))
			})
		})
	}
}

func TestAReleaseThatFoundAKeyOfAnotherTypeIsNotTriedAgain(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		nodes := rig.New(t, 3)
		hooks := hookAll(nodes[:1])
		l := rig.NewLocker(t, nodes, opts...)
		rig.WarmUp(t, l)
		k, err := l.Lock(t.Context(), "a", time.Hour)
		require.NoError(t, err)
		synctest.Wait()
		nodes[0].Del("a")
		_, err = nodes[0].SAdd("a", "member")
		require.NoError(t, err)
		sent := hooks[0].Sends(func() error { return nil })
		require.NoError(t, k.Unlock(t.Context()))
		time.Sleep(time.Minute)
		require.Equal(t, 3, sent(), "the native one, and the script as every command that fails")
	})
}

func TestWhatIsOwedIsForgottenWhenTheProgramHasClosedTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		hooks := hookAll(nodes[:1])
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k, err := l.Lock(t.Context(), "a", time.Hour)
		require.NoError(t, err)
		synctest.Wait()
		hooks[0].Sends(func() error { return neverRun["no connection"] })
		require.NoError(t, k.Unlock(t.Context()))
		time.Sleep(time.Minute)
		sent := hooks[0].Sends(func() error { return nil })
		require.NoError(t, nodes[0].Client.Close())
		time.Sleep(time.Minute)
		require.Equal(t, 1, sent())
	})
}

func TestALeftoverOfAReleaseThatFailedDoesNotRefuseItsOwnLocker(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"by itself": nil, "in batches": {redlock.WithAutoPipeline()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes, append(opts, redlock.WithRetry(0, 0))...)
				rig.WarmUp(t, l)
				for back := range nodes {
					k, err := l.Lock(t.Context(), "a", time.Hour)
					require.NoError(t, err)
					synctest.Wait()
					nodes[back].Unreachable(true)
					require.NoError(t, k.Unlock(t.Context()))
					time.Sleep(time.Second) // both tries
					nodes[back].Unreachable(false)
					require.Equal(t, []string{"a"}, nodes[back].Keys())
					nodes[(back+1)%3].Unreachable(true)
					k, err = l.Lock(t.Context(), "a", time.Hour) // needs the one that has the leftover
					require.NoError(t, err)
					require.Less(t, time.Until(k.Until()), time.Hour)
					nodes[(back+1)%3].Unreachable(false)
					require.NoError(t, k.Unlock(t.Context()))
					time.Sleep(5 * time.Second)
					rig.RequireNoKeys(t, nodes)
				}
			})
		})
	}
}

func TestAClientThatEndsTheGoroutineOfAThirdTryEndsNoLaterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, nodes, h := rig.NewHooked(t, 1, redlock.WithRetry(0, 0))
		for _, ends := range []bool{true, false} {
			h.Set(nil)
			k, err := l.Lock(t.Context(), strconv.FormatBool(ends), time.Hour)
			require.NoError(t, err)
			tries := 0
			h.Set(func(_ []redis.Cmder, next func() error) error {
				h.Mu.Lock()
				tries++
				try := tries
				h.Mu.Unlock()
				switch {
				case try <= 2:
					return rig.ErrRefused
				case ends:
					runtime.Goexit()
				}
				return next() // by its hash, and then as a whole
			})
			require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum)
			time.Sleep(5 * time.Second)
			require.Zero(t, seam.OpenCalls(l))
		}
		rig.RequireNoKeys(t, nodes)
	})
}
