package lock_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

// A prefix is a hook that puts itself before the keys of scripts, in place.
type prefix string

func (p prefix) change(cmd redis.Cmder) {
	args := cmd.Args()
	switch args[0] {
	case "set", "delex":
		args[1] = string(p) + fmt.Sprint(args[1])
	case "exists":
		for i := range args[1:] {
			args[1+i] = string(p) + fmt.Sprint(args[1+i])
		}
	}
	if n, ok := args[2].(int); ok && strings.HasPrefix(args[0].(string), "eval") {
		for i := range n {
			args[3+i] = string(p) + fmt.Sprint(args[3+i])
		}
	}
}

func (prefix) DialHook(next redis.DialHook) redis.DialHook { return next }

func (p prefix) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if len(cmd.Args()) > 2 {
			p.change(cmd)
		}
		return next(ctx, cmd)
	}
}

func (p prefix) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if len(cmd.Args()) > 2 {
				p.change(cmd)
			}
		}
		return next(ctx, cmds)
	}
}

func TestAHookMayChangeTheArgumentsOfACommand(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				for _, n := range nodes {
					n.Client.AddHook(prefix("tenant:"))
				}
				here, there := rig.NewLocker(t, nodes, way.opts...), rig.NewLocker(t, nodes, way.opts...)
				var inside atomic.Int32
				for range 3 {
					k, err := here.LockAll(t.Context(), way.all, rig.TTL)
					require.NoError(t, err)
					synctest.Wait()
					has := 0
					for _, n := range nodes {
						if value, _ := n.Get("tenant:a"); value == k.Value() {
							has++
						}
					}
					require.GreaterOrEqual(t, has, 2)
					inside.Add(1)
					got := make(chan struct{})
					go func() {
						other, err := there.LockAll(t.Context(), way.all, rig.TTL, rig.WaitForever)
						assert.NoError(t, err)
						assert.EqualValues(t, 0, inside.Load())
						assert.NoError(t, other.Unlock(t.Context()))
						close(got)
					}()
					time.Sleep(time.Second)
					inside.Add(-1)
					require.NoError(t, k.Unlock(t.Context()))
					<-got
				}
				synctest.Wait()
				for _, n := range nodes {
					for _, key := range n.Keys() {
						assert.Equal(t, 1, strings.Count(key, "tenant:"), key)
					}
				}
			})
		})
	}
}
