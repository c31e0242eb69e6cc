package node

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/script"
)

// What SET does not grant, the script is asked: it says who has the resource, and whether that
// is an earlier copy.
func TestWhatSETDoesNotGrantIsAskedOfTheScript(t *testing.T) {
	refused := []any{int64(5), "somebody"}
	ours := []any{int64(1), "ours"}
	noAddr := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for name, tt := range map[string]struct {
		set    bool
		err    error
		script any
		asked  int // commands
		kind   Kind
		effect Effect
	}{
		"granted":                        {set: true, asked: 1, kind: Granted, effect: Done},
		"taken":                          {script: refused, asked: 2, kind: Refused},
		"free again":                     {script: int64(1), asked: 2, kind: Granted, effect: Done},
		"an error that may have come":    {err: replyError("ERR after it was done"), script: refused, asked: 2, kind: Refused, effect: Maybe},
		"a user who may not":             {err: replyError("NOPERM set"), script: int64(1), asked: 2, kind: Granted, effect: Done},
		"an earlier copy":                {err: replyError("ERR after it was done"), script: ours, asked: 2, kind: Granted, effect: Done},
		"a node that loads":              {err: replyError("LOADING"), script: refused, asked: 2, kind: Refused},
		"a connection that is lost":      {err: io.EOF, asked: 1, kind: Failed, effect: Maybe},
		"no connection":                  {err: noAddr, asked: 1, kind: Failed},
		"an answer that says two things": {err: replyError("ERR "), script: nil, asked: 2, kind: Failed, effect: Maybe},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			n := newNode(clientFunc(func(cmd redis.Cmder) error {
				asked++
				if set, ok := cmd.(client.OnceSet); ok {
					require.Equal(t, []any{"set", "a", testValue, "nx", "px", 1000}, set.Args())
					set.SetVal(tt.set)
					return tt.err
				}
				cmd.(client.Once).SetVal(tt.script)
				return nil
			}))
			v := newCall(t, n, &Command{
				Op: OpAcquire, Script: script.Acquire, Args: script.Acquire.Args([]any{"a"}, testValue, 1000), Once: true, TTL: time.Second,
				Native: true,
			})
			v.native = setNX
			in, _, err := v.ask(time.Now(), nil)
			if in.Kind == None {
				in.Kind = Failed
				require.Error(t, err)
			}
			assert.Equal(t, tt.kind, in.Kind)
			assert.Equal(t, tt.effect, in.Effect)
			assert.Equal(t, tt.asked, asked)
		})
	}
}

type clientFunc func(cmd redis.Cmder) error

func (f clientFunc) Process(_ context.Context, cmd redis.Cmder) error { return f(cmd) }

func TestOnlyTheClientsOfGoRedisAreSentSET(t *testing.T) {
	assert.False(t, newNode(new(fake)).native.sets, "it may know scripts only")
	assert.True(t, newNode(new(redis.Client)).native.sets)
}

// Another server may have taken over, and another call have found out what that one has.
func TestAScriptThatGoesFirstTellsNothingOfTheCommandsOfItsServer(t *testing.T) {
	var asked []any
	n := newNode(clientFunc(func(cmd redis.Cmder) error {
		asked = append(asked, cmd.Args()[1])
		if len(asked) == 1 {
			return replyError("NOSCRIPT No matching script.")
		}
		cmd.(client.Once).SetVal(int64(1))
		return nil
	}))
	v := newCall(t, n, &Command{
		Op: OpRelease, Script: script.ReleaseGate, Once: true, Native: true,
		Args:  script.ReleaseGate.Args([]any{"a", "{a}line", "{a}next"}, testValue, "locker", "pop", int64(30)),
		Plain: &Command{Op: OpRelease, Script: script.Release, Args: script.Release.Args([]any{"a"}, testValue), Once: true, Native: true},
	})
	v.native = plain
	n.native.told(delex)
	in, _, err := v.ask(time.Now(), nil)
	require.NoError(t, err)
	assert.Equal(t, Removed, in.Kind)
	assert.Len(t, asked, 2)
	assert.Equal(t, delex, *n.native.deletes.Load())
}
