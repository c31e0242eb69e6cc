package node

import (
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

// answer answers a command: a SET whether it has set the key.
func answer(cmd redis.Cmder, with any) error {
	switch with := with.(type) {
	case error:
		return with
	case bool:
		cmd.(client.OnceSet).SetVal(with)
	default:
		cmd.(client.Once).SetVal(with)
	}
	return nil
}

// What a node has done without scripts is known as well as with them: what may have been
// done, or may yet be, is not taken for undone.
func TestWithoutScriptsAVoteSaysWhatTheNodeHasDone(t *testing.T) {
	const sets, refuses = true, false
	noAddr := &net.OpError{Op: "dial", Err: errors.New("refused")}
	unknown := replyError("ERR unknown command 'delex'")
	for name, tt := range map[string]struct {
		op     Op
		news   bool // that the server deletes is not known yet
		said   []any
		kind   Kind
		effect Effect
	}{
		"granted":                       {op: OpAcquire, said: []any{sets}, kind: Granted, effect: Done},
		"refused":                       {op: OpAcquire, said: []any{refuses, "other", int64(5)}, kind: Refused},
		"an earlier copy":               {op: OpAcquire, said: []any{refuses, testValue}, kind: Granted, effect: Done},
		"gone, and free":                {op: OpAcquire, said: []any{refuses, redis.Nil, sets}, kind: Granted, effect: Done},
		"always another one":            {op: OpAcquire, said: []any{refuses, redis.Nil, refuses, redis.Nil, refuses, redis.Nil}, kind: Refused},
		"gone before its time is asked": {op: OpAcquire, said: []any{refuses, "other", int64(-2)}, kind: Refused},
		"a lost reply":                  {op: OpAcquire, said: []any{io.EOF}, kind: Failed, effect: Maybe},
		"no connection":                 {op: OpAcquire, said: []any{noAddr}, kind: Failed},
		"refused, and lost":             {op: OpAcquire, said: []any{refuses, io.EOF}, kind: Failed, effect: Maybe},
		"refused by a list":             {op: OpAcquire, said: []any{refuses, replyError("WRONGTYPE")}, kind: Failed, effect: Maybe},
		"an odd answer":                 {op: OpAcquire, said: []any{refuses, int64(7)}, kind: Failed, effect: Maybe},
		"an odd time":                   {op: OpAcquire, said: []any{refuses, "other", "soon"}, kind: Failed, effect: Maybe},
		"new, and granted":              {op: OpAcquire, news: true, said: []any{int64(0), sets}, kind: Granted, effect: Done},
		"new, and it deletes otherwise": {op: OpAcquire, news: true, said: []any{unknown, int64(0), sets}, kind: Granted, effect: Done},
		"new, and it does not delete":   {op: OpAcquire, news: true, said: []any{unknown, unknown}, kind: Failed},
		"new, and the reply is lost":    {op: OpAcquire, news: true, said: []any{io.EOF}, kind: Failed},
		"new, and it loads":             {op: OpAcquire, news: true, said: []any{replyError("LOADING")}, kind: Failed},
		"extended":                      {op: OpExtend, said: []any{sets}, kind: Extended, effect: Done},
		"gone":                          {op: OpExtend, said: []any{refuses, redis.Nil}, kind: Gone},
		"taken":                         {op: OpExtend, said: []any{refuses, "other"}, kind: Taken},
		"kept for the next one":         {op: OpExtend, said: []any{refuses, "redlock:next"}, kind: Gone},
		"gone, and there again":         {op: OpExtend, said: []any{refuses, testValue}, kind: Gone},
		"an old server":                 {op: OpExtend, said: []any{replyError("ERR syntax error")}, kind: Failed, effect: Maybe},
		"removed":                       {op: OpRelease, said: []any{int64(1)}, kind: Removed, effect: Done},
		"not ours":                      {op: OpRelease, said: []any{int64(0)}, kind: NotOurs},
		"removed otherwise":             {op: OpRelease, news: true, said: []any{unknown, int64(1)}, kind: Removed, effect: Done},
		"a removal whose reply is lost": {op: OpRelease, said: []any{io.EOF}, kind: Failed, effect: Maybe},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			n := newNode(clientFunc(func(cmd redis.Cmder) error {
				require.Less(t, asked, len(tt.said), "%v", cmd.Args())
				asked++
				return answer(cmd, tt.said[asked-1])
			}))
			n.DisableScripts()
			if !tt.news {
				n.native.told(delex)
			}
			s := map[Op]*script.Script{OpAcquire: script.Acquire, OpExtend: script.Extend, OpRelease: script.Release}[tt.op]
			v := newCall(t, n, &Command{Op: tt.op, Script: s, Args: s.Args([]any{"a"}, testValue, 1000), Once: true, TTL: time.Second})
			v.Owner = owner{time.Now().Add(time.Minute)}
			in, _, err := v.ask(time.Now(), nil)
			if in.Kind == None {
				in.Kind = Failed
				require.Error(t, err)
			}
			assert.Equal(t, tt.kind, in.Kind)
			assert.Equal(t, tt.effect, in.Effect)
			assert.Equal(t, len(tt.said), asked)
		})
	}
}
