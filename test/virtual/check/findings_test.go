package check_test

import (
	"context"
	"slices"
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

func TestCheckFindsOneDatabaseBehindAFastAndASlowClient(t *testing.T) {
	for _, opts := range [][]redlock.Option{nil, {redlock.WithoutScripts()}} {
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, 1)
			fast := rig.CustomClient{Do: nodes[0].Client.Process}
			slow := rig.CustomClient{Do: func(ctx context.Context, cmd redis.Cmder) error {
				time.Sleep(timeout / 5)
				return nodes[0].Client.Process(ctx, cmd)
			}}
			l, err := redlock.New([]redlock.Client{slow, fast}, opts...)
			require.NoError(t, err)
			r, err := l.Check(t.Context(), ttl)
			require.NoError(t, err)
			i := slices.IndexFunc(r.Findings, func(f redlock.Finding) bool { return f.Code == redlock.CodeSameServer })
			require.GreaterOrEqual(t, i, 0, "%v", r)
			assert.Equal(t, 1, r.Findings[i].Node)
			assert.Contains(t, r.Findings[i].Text, "node 2")
			require.NoError(t, l.Shutdown(t.Context()))
			requireNothingLeft(t, nodes...)
		})
	}
}

// A hook does before what becomes of a command, unless it fails.
type hook func(cmd redis.Cmder) error

func (hook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := h(cmd); err != nil {
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

// denied is an error of a node.
type denied string

func (d denied) Error() string { return string(d) }
func (denied) RedisError()     {}

func TestCheckDeletesItsKeyWhereItMayNotRunScripts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		nodes[0].Client.AddHook(hook(func(cmd redis.Cmder) error {
			if cmd.Name() == "eval" || cmd.Name() == "evalsha" {
				return denied("NOPERM this user has no permissions to run the 'eval' command")
			}
			return nil
		}))
		r, err := l.Check(t.Context(), ttl)
		require.NoError(t, err)
		assert.Equal(t, 1, count(r, redlock.CodeNoScripts), "%v", r)
		requireNothingLeft(t, nodes...)
	})
}

func TestCheckFindsThatAKeyIsGoneBeforeTheScriptLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		gone := false
		nodes[0].Client.AddHook(hook(func(cmd redis.Cmder) error {
			if cmd.Name() == "eval" && !gone {
				gone = true
				nodes[0].FlushAll()
			}
			return nil
		}))
		r, err := l.Check(t.Context(), ttl)
		require.NoError(t, err)
		assert.Equal(t, 1, count(r, redlock.CodeForgets), "%v", r)
	})
}

// An aofHook has a node tell that it has an append-only file, and how much of it is on disk.
type aofHook struct{ onDisk int64 }

func (aofHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (aofHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if cmd.Name() == "info" {
			cmd.(interface{ SetVal(any) }).SetVal("redis_version:7.2.4\r\naof_enabled:1\r\naof_last_write_status:ok\r\n")
		}
		return err
	}
}

func (h aofHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		last := cmds[len(cmds)-1]
		if last.Name() != "waitaof" {
			return next(ctx, cmds) // as when a connection is made
		}
		err := next(ctx, cmds[:len(cmds)-1])
		last.(interface{ SetVal(any) }).SetVal([]any{h.onDisk, int64(0)})
		return err
	}
}

func TestCheckFindsWhatIsNotOnDiskWhenItIsAnswered(t *testing.T) {
	for onDisk, want := range []string{"late", "on"} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 1)
			l := rig.NewLocker(t, nodes)
			nodes[0].Client.AddHook(aofHook{int64(onDisk)})
			r, err := l.Check(t.Context(), ttl)
			require.NoError(t, err)
			assert.Equal(t, want, r.Nodes[0].AOF, "%v", r)
			assert.Equal(t, want == "late", count(r, redlock.CodeAOFLate) == 1)
			assert.True(t, r.Nodes[0].Locks)
			requireNothingLeft(t, nodes...)

			// A disk so slow that each write takes as long as that is no sign of it.
			nodes[0].Slow(60 * time.Millisecond)
			r, err = l.Check(t.Context(), ttl)
			require.NoError(t, err)
			assert.Equal(t, "on", r.Nodes[0].AOF)
		})
	}
}

func TestCheckFindsANodeThatForgetsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		var turn atomic.Int64
		balancer := rig.CustomClient{Do: func(ctx context.Context, cmd redis.Cmder) error {
			return nodes[turn.Add(1)%3].Client.Process(ctx, cmd)
		}}
		l, err := redlock.New([]redlock.Client{balancer})
		require.NoError(t, err)
		r, err := l.Check(t.Context(), ttl)
		require.NoError(t, err)
		assert.Equal(t, 1, count(r, redlock.CodeForgets), "%v", r)
		require.NoError(t, l.Shutdown(t.Context()))
		time.Sleep(12 * time.Second)
		requireNothingLeft(t, nodes...)
	})
}

func TestCheckFindsThatItCannotListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		f := nodes[0].Forbid()
		r, err := l.Check(t.Context(), ttl)
		require.NoError(t, err)
		require.Positive(t, f.Refused())
		require.Equal(t, 1, count(r, redlock.CodeNoMessages), "%v", r)
		i := slices.IndexFunc(r.Findings, func(f redlock.Finding) bool { return f.Code == redlock.CodeNoMessages })
		assert.Contains(t, r.Findings[i].Text, "NOPERM")
		assert.True(t, r.Nodes[0].Locks)
		assert.False(t, r.Nodes[0].Line)
	})
}
